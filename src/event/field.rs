//! The closed catalogue of event fields (`contracts.md` §2): one line a field.
//!
//! The discriminants are written into journals, so this list only grows at its end.

use super::Kind::{self, Account, Billing, Control, ErrorLog, Health, Outcome, Ticket, Usage};
use FieldType::{Bool, Date, Dates, Double, Doubles, Enum, Int, Records, Text, TextMap, Texts, Time};

/// A field of an event or of an account profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names are those of the contract, which says what they mean")]
pub enum Field {
    Event,
    Type,
    AccountId,
    AccountAlias,
    UserId,
    EventId,
    EventTime,
    Source,
    Traffic,
    Environment,
    AppVersion,
    Traceparent,
    SessionId,
    Integration,
    FeatureArea,
    Platform,
    SeverityNumber,
    ErrorCode,
    ErrorType,
    TemplateId,
    Message,
    Service,
    Region,
    HttpStatus,
    DurationMs,
    Outcome,
    Occurrences,
    FirstSeen,
    LastSeen,
    Limit,
    Value,
    CredentialId,
    IssuedAt,
    ExpiresAt,
    Cause,
    Scope,
    IncidentId,
    Impact,
    Services,
    Regions,
    AffectedFeatures,
    InvoiceId,
    SubscriptionId,
    AmountMinor,
    Currency,
    AttemptCount,
    HostedInvoiceUrl,
    NextPaymentAttempt,
    DueAt,
    PeriodStart,
    PeriodEnd,
    DeclineCode,
    DeclineClass,
    Status,
    PreviousStatus,
    Plan,
    PreviousPlan,
    CancelAtPeriodEnd,
    CancelAt,
    CancelReason,
    MrrMinor,
    MrrDeltaMinor,
    ObjectVersion,
    TicketId,
    Channel,
    AssigneeId,
    Group,
    RequesterId,
    Priority,
    Author,
    IsPublic,
    Body,
    NlpSentiment,
    NlpFrustrationScore,
    NlpIntents,
    NlpModel,
    NlpModelVersion,
    NlpScoredAt,
    Category,
    RootCause,
    ProblemId,
    TaggedAt,
    IssueClass,
    IssueKey,
    EscalationReason,
    EscalatedTo,
    LinkedTicketIds,
    IsFollowUp,
    MergedInto,
    CreatedAt,
    SolvedAt,
    FirstResponseAt,
    SlaBreachAt,
    Csat,
    Ces,
    ProactiveAlertId,
    TextClasses,
    TextTone,
    TextSentiment,
    TextLength,
    TextLanguage,
    TextLexicon,
    ProfileVersion,
    UpdatedAt,
    Name,
    ParentAccountId,
    Tier,
    ArrMinor,
    Segment,
    Industry,
    Seats,
    Lifecycle,
    BillingStatus,
    OnboardingStartedAt,
    RenewalDate,
    BillingPeriod,
    BillingAnchor,
    Timezone,
    Locale,
    BusinessHours,
    Holidays,
    LowEngagementWindows,
    OwnersCsm,
    OwnersAm,
    OwnersSe,
    OwnersSupportGroup,
    Contacts,
    DoNotContact,
    ContactBudgetOverride,
    HoldoutOverride,
    Stratum,
    Limits,
    EntitledFeatures,
    ServicesUsed,
    Integrations,
    Configuration,
    ExternalIds,
    EmailDomains,
    Role,
    Consent,
    Model,
    ModelVersion,
    Score,
    Direction,
    ScoredAt,
    Features,
    AlertId,
    DedupKey,
    ActorType,
    ActorId,
    Revision,
    OpportunityId,
    ReasonCode,
    NoteRef,
    CostMinutes,
    Perception,
    FrustrationScore,
    Rule,
    Family,
    Actor,
    Reason,
    Until,
    Arm,
    HealthPrevious,
    HealthCoverage,
    HealthCause,
}

const EVERY: &[Kind] = &[Usage, ErrorLog, Billing, Ticket, Account, Outcome, Control, Health];

/// One entry a field, in the order of the enum.
const CATALOGUE: [FieldSpec; 166] = [
    spec(Field::Event, "event", EVERY, Text, true),
    spec(Field::Type, "type", EVERY, Text, true),
    spec(Field::AccountId, "account_id", EVERY, Text, false),
    spec(Field::AccountAlias, "account_alias", EVERY, Text, false),
    spec(Field::UserId, "user_id", EVERY, Text, false),
    spec(Field::EventId, "event_id", EVERY, Text, false),
    spec(Field::EventTime, "event_time", EVERY, Time, false),
    spec(Field::Source, "source", EVERY, Text, true),
    spec(Field::Traffic, "traffic", EVERY, Enum(&["customer", "automated", "internal", "test"]), true),
    spec(Field::Environment, "environment", EVERY, Text, true),
    spec(Field::AppVersion, "app_version", EVERY, Text, true),
    spec(Field::Traceparent, "traceparent", EVERY, Text, false),
    spec(Field::SessionId, "session_id", &[Usage], Text, false),
    spec(Field::Integration, "integration", &[Usage, ErrorLog], Text, true),
    spec(Field::FeatureArea, "feature_area", &[Usage, ErrorLog, Ticket], Text, true),
    spec(Field::Platform, "platform", &[Usage], Enum(&["web", "ios", "android", "api"]), true),
    spec(Field::SeverityNumber, "severity_number", &[ErrorLog], Int, true),
    spec(Field::ErrorCode, "error_code", &[ErrorLog], Text, true),
    spec(Field::ErrorType, "error_type", &[ErrorLog], Text, true),
    spec(Field::TemplateId, "template_id", &[ErrorLog], Text, true),
    spec(Field::Message, "message", &[ErrorLog], Text, false),
    spec(Field::Service, "service", &[ErrorLog], Text, true),
    spec(Field::Region, "region", &[ErrorLog], Text, true),
    spec(Field::HttpStatus, "http_status", &[ErrorLog], Int, true),
    spec(Field::DurationMs, "duration_ms", &[ErrorLog], Int, false),
    spec(Field::Outcome, "outcome", &[ErrorLog], Enum(&["success", "failure"]), true),
    spec(Field::Occurrences, "occurrences", &[ErrorLog], Int, false),
    spec(Field::FirstSeen, "first_seen", &[ErrorLog], Time, false),
    spec(Field::LastSeen, "last_seen", &[ErrorLog], Time, false),
    spec(Field::Limit, "limit", &[ErrorLog], Double, false),
    spec(Field::Value, "value", &[ErrorLog], Double, false),
    spec(Field::CredentialId, "credential_id", &[ErrorLog], Text, false),
    spec(Field::IssuedAt, "issued_at", &[ErrorLog, Billing], Time, false),
    spec(Field::ExpiresAt, "expires_at", &[ErrorLog], Time, false),
    spec(Field::Cause, "cause", &[ErrorLog], Enum(&["our_side", "customer_input", "third_party"]), true),
    spec(Field::Scope, "scope", &[ErrorLog], Enum(&["account", "platform"]), true),
    spec(Field::IncidentId, "incident_id", &[ErrorLog], Text, true),
    spec(Field::Impact, "impact", &[ErrorLog], Enum(&["minor", "major", "critical"]), true),
    spec(Field::Services, "services", &[ErrorLog], Texts, true),
    spec(Field::Regions, "regions", &[ErrorLog], Texts, true),
    spec(Field::AffectedFeatures, "affected_features", &[ErrorLog], Texts, true),
    spec(Field::InvoiceId, "invoice_id", &[Billing], Text, false),
    spec(Field::SubscriptionId, "subscription_id", &[Billing], Text, false),
    spec(Field::AmountMinor, "amount_minor", &[Billing], Int, false),
    spec(Field::Currency, "currency", &[Billing, Account], Text, true),
    spec(Field::AttemptCount, "attempt_count", &[Billing], Int, false),
    spec(Field::HostedInvoiceUrl, "hosted_invoice_url", &[Billing], Text, false),
    spec(Field::NextPaymentAttempt, "next_payment_attempt", &[Billing], Time, false),
    spec(Field::DueAt, "due_at", &[Billing], Time, false),
    spec(Field::PeriodStart, "period_start", &[Billing], Time, false),
    spec(Field::PeriodEnd, "period_end", &[Billing], Time, false),
    spec(Field::DeclineCode, "decline_code", &[Billing], Text, true),
    spec(Field::DeclineClass, "decline_class", &[Billing], Enum(&["hard", "soft"]), true),
    spec(Field::Status, "status", &[Billing, Ticket], Text, true),
    spec(Field::PreviousStatus, "previous_status", &[Billing, Ticket], Text, true),
    spec(Field::Plan, "plan", &[Billing, Account], Text, true),
    spec(Field::PreviousPlan, "previous_plan", &[Billing], Text, true),
    spec(Field::CancelAtPeriodEnd, "cancel_at_period_end", &[Billing], Bool, true),
    spec(Field::CancelAt, "cancel_at", &[Billing], Time, false),
    spec(Field::CancelReason, "cancel_reason", &[Billing], Text, true),
    spec(Field::MrrMinor, "mrr_minor", &[Billing], Int, false),
    spec(Field::MrrDeltaMinor, "mrr_delta_minor", &[Billing], Int, false),
    spec(Field::ObjectVersion, "object_version", &[Billing], Int, false),
    spec(Field::TicketId, "ticket_id", &[Ticket, Outcome], Text, false),
    spec(Field::Channel, "channel", &[Ticket, Outcome], Text, true),
    spec(Field::AssigneeId, "assignee_id", &[Ticket], Text, true),
    spec(Field::Group, "group", &[Ticket], Text, true),
    spec(Field::RequesterId, "requester_id", &[Ticket], Text, false),
    spec(Field::Priority, "priority", &[Ticket], Enum(&["low", "normal", "high", "urgent"]), true),
    spec(Field::Author, "author", &[Ticket], Enum(&["customer", "agent", "system", "bot"]), true),
    spec(Field::IsPublic, "is_public", &[Ticket], Bool, true),
    spec(Field::Body, "body", &[Ticket], Text, false),
    spec(Field::NlpSentiment, "nlp.sentiment", &[Ticket], Double, false),
    spec(Field::NlpFrustrationScore, "nlp.frustration_score", &[Ticket], Int, false),
    spec(Field::NlpIntents, "nlp.intents", &[Ticket], Texts, true),
    spec(Field::NlpModel, "nlp.model", &[Ticket], Text, true),
    spec(Field::NlpModelVersion, "nlp.model_version", &[Ticket], Text, true),
    spec(Field::NlpScoredAt, "nlp.scored_at", &[Ticket], Time, false),
    spec(Field::Category, "category", &[Ticket], Text, true),
    spec(Field::RootCause, "root_cause", &[Ticket, Outcome], Text, true),
    spec(Field::ProblemId, "problem_id", &[Ticket], Text, true),
    spec(Field::TaggedAt, "tagged_at", &[Ticket], Time, false),
    spec(
        Field::IssueClass,
        "issue_class",
        &[Ticket],
        Enum(&["product", "onboarding", "how_to", "billing", "customer_input"]),
        true,
    ),
    spec(Field::IssueKey, "issue_key", &[Ticket], Text, true),
    spec(Field::EscalationReason, "escalation_reason", &[Ticket], Text, true),
    spec(
        Field::EscalatedTo,
        "escalated_to",
        &[Ticket],
        Enum(&["manager", "engineering", "vendor", "other"]),
        true,
    ),
    spec(Field::LinkedTicketIds, "linked_ticket_ids", &[Ticket], Texts, false),
    spec(Field::IsFollowUp, "is_follow_up", &[Ticket], Bool, true),
    spec(Field::MergedInto, "merged_into", &[Ticket], Text, false),
    spec(Field::CreatedAt, "created_at", &[Ticket, Account], Time, false),
    spec(Field::SolvedAt, "solved_at", &[Ticket], Time, false),
    spec(Field::FirstResponseAt, "first_response_at", &[Ticket], Time, false),
    spec(Field::SlaBreachAt, "sla_breach_at", &[Ticket], Time, false),
    spec(Field::Csat, "csat", &[Ticket], Int, false),
    spec(Field::Ces, "ces", &[Ticket, Outcome], Int, false),
    spec(Field::ProactiveAlertId, "proactive_alert_id", &[Ticket], Text, false),
    spec(Field::TextClasses, "text.classes", &[Ticket], Texts, true),
    spec(Field::TextTone, "text.tone", &[Ticket], Enum(&["none", "mild", "strong"]), true),
    spec(Field::TextSentiment, "text.sentiment", &[Ticket], Int, false),
    spec(Field::TextLength, "text.length", &[Ticket], Int, false),
    spec(Field::TextLanguage, "text.language", &[Ticket], Text, true),
    spec(Field::TextLexicon, "text.lexicon", &[Ticket], Text, true),
    spec(Field::ProfileVersion, "profile_version", &[Account], Int, false),
    spec(Field::UpdatedAt, "updated_at", &[Account], Time, false),
    spec(Field::Name, "name", &[Account], Text, false),
    spec(Field::ParentAccountId, "parent_account_id", &[Account], Text, false),
    spec(Field::Tier, "tier", &[Account], Int, true),
    spec(Field::ArrMinor, "arr_minor", &[Account], Int, false),
    spec(Field::Segment, "segment", &[Account], Text, true),
    spec(Field::Industry, "industry", &[Account], Text, true),
    spec(Field::Seats, "seats", &[Account], Int, false),
    spec(
        Field::Lifecycle,
        "lifecycle",
        &[Account],
        Enum(&["trial", "onboarding", "active", "renewal", "paused", "churned", "seasonal"]),
        true,
    ),
    spec(
        Field::BillingStatus,
        "billing_status",
        &[Account],
        Enum(&["active", "past_due", "suspended"]),
        true,
    ),
    spec(Field::OnboardingStartedAt, "onboarding_started_at", &[Account], Time, false),
    spec(Field::RenewalDate, "renewal_date", &[Account], Date, false),
    spec(Field::BillingPeriod, "billing_period", &[Account], Enum(&["month", "quarter", "year"]), true),
    spec(Field::BillingAnchor, "billing_anchor", &[Account], Date, false),
    spec(Field::Timezone, "timezone", &[Account], Text, true),
    spec(Field::Locale, "locale", &[Account], Text, true),
    spec(Field::BusinessHours, "business_hours", &[Account], Text, true),
    spec(Field::Holidays, "holidays", &[Account], Dates, false),
    spec(Field::LowEngagementWindows, "low_engagement_windows", &[Account], Texts, false),
    spec(Field::OwnersCsm, "owners.csm", &[Account], Text, true),
    spec(Field::OwnersAm, "owners.am", &[Account], Text, true),
    spec(Field::OwnersSe, "owners.se", &[Account], Text, true),
    spec(Field::OwnersSupportGroup, "owners.support_group", &[Account], Text, true),
    spec(Field::Contacts, "contacts", &[Account], Records, false),
    spec(Field::DoNotContact, "do_not_contact", &[Account], Bool, true),
    spec(Field::ContactBudgetOverride, "contact_budget_override", &[Account], Int, false),
    spec(Field::HoldoutOverride, "holdout_override", &[Account], Enum(&["treatment", "control"]), true),
    spec(Field::Stratum, "stratum", &[Account], Text, true),
    spec(Field::Limits, "limits", &[Account], Doubles, false),
    spec(Field::EntitledFeatures, "entitled_features", &[Account], Texts, false),
    spec(Field::ServicesUsed, "services_used", &[Account], Texts, false),
    spec(Field::Integrations, "integrations", &[Account], Texts, false),
    spec(Field::Configuration, "configuration", &[Account], TextMap, false),
    spec(Field::ExternalIds, "external_ids", &[Account], TextMap, false),
    spec(Field::EmailDomains, "email_domains", &[Account], Texts, false),
    spec(Field::Role, "role", &[Account], Text, true),
    spec(Field::Consent, "consent", &[Account], Texts, false),
    spec(Field::Model, "model", &[Account], Text, true),
    spec(Field::ModelVersion, "model_version", &[Account], Text, true),
    spec(Field::Score, "score", &[Account, Health], Double, false),
    spec(Field::Direction, "direction", &[Account], Enum(&["higher_is_worse", "higher_is_better"]), true),
    spec(Field::ScoredAt, "scored_at", &[Account], Time, false),
    spec(Field::Features, "features", &[Account], Doubles, false),
    spec(Field::AlertId, "alert_id", &[Outcome, Control], Text, false),
    spec(Field::DedupKey, "dedup_key", &[Outcome, Control], Text, false),
    spec(Field::ActorType, "actor_type", &[Outcome], Enum(&["human", "bot", "customer", "system"]), true),
    spec(Field::ActorId, "actor_id", &[Outcome], Text, true),
    spec(Field::Revision, "revision", &[Outcome], Int, false),
    spec(Field::OpportunityId, "opportunity_id", &[Outcome], Text, false),
    spec(Field::ReasonCode, "reason_code", &[Outcome], Text, true),
    spec(Field::NoteRef, "note_ref", &[Outcome], Text, false),
    spec(Field::CostMinutes, "cost_minutes", &[Outcome], Int, false),
    spec(Field::Perception, "perception", &[Outcome], Enum(&["appreciated", "neutral", "intrusive"]), true),
    spec(Field::FrustrationScore, "frustration_score", &[Outcome], Int, false),
    spec(Field::Rule, "rule", &[Control], Text, true),
    spec(Field::Family, "family", &[Control], Text, true),
    spec(Field::Actor, "actor", &[Control], Text, true),
    spec(Field::Reason, "reason", &[Control], Text, false),
    spec(Field::Until, "until", &[Control], Time, false),
    spec(Field::Arm, "arm", &[Control], Enum(&["treatment", "control"]), true),
    spec(Field::HealthPrevious, "previous", &[Health], Double, false),
    spec(Field::HealthCoverage, "coverage", &[Health], Double, false),
    spec(Field::HealthCause, "cause", &[Health], Text, true),
];

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A string.
    Text,
    /// A string out of a closed list; any other is read as `unknown`.
    Enum(&'static [&'static str]),
    /// A 64-bit integer.
    Int,
    /// A finite double.
    Double,
    /// True or false.
    Bool,
    /// A point in time, milliseconds since the epoch.
    Time,
    /// A calendar day, days since the epoch.
    Date,
    /// A list of strings.
    Texts,
    /// A list of calendar days.
    Dates,
    /// A list of maps (the contacts of an account).
    Records,
    /// A map from string to number.
    Doubles,
    /// A map from string to string.
    TextMap,
}

/// What the contract says of one field.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// The field itself.
    pub field: Field,
    /// Its name in records and rules, nested names joined by a dot.
    pub name: &'static str,
    /// The kinds of event that have it.
    pub kinds: &'static [Kind],
    /// Its type.
    pub ty: FieldType,
    /// Whether few different values are expected, so that a frame stores each once.
    pub repeats: bool,
}

const fn spec(
    field: Field,
    name: &'static str,
    kinds: &'static [Kind],
    ty: FieldType,
    repeats: bool,
) -> FieldSpec {
    FieldSpec { field, name, kinds, ty, repeats }
}

impl Field {
    /// All fields, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = &'static FieldSpec> {
        CATALOGUE.iter()
    }

    /// The field with this number, as journals store it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        CATALOGUE.get(usize::from(number)).map(|spec| spec.field)
    }

    /// The number that journals store.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// What the contract says of this field.
    #[must_use]
    pub fn spec(self) -> &'static FieldSpec {
        &CATALOGUE[self as usize]
    }

    /// The field of this name in events of this kind.
    #[must_use]
    pub fn named(kind: Kind, name: &str) -> Option<Self> {
        Self::all().find(|spec| spec.name == name && spec.kinds.contains(&kind)).map(|spec| spec.field)
    }
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSet([u64; 3]);

impl FieldSet {
    /// All fields.
    pub const ALL: Self = Self([u64::MAX; 3]);

    /// Adds a field.
    pub const fn insert(&mut self, field: Field) {
        let number = field.number() as usize;
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Whether a field is in it.
    #[must_use]
    pub const fn contains(&self, field: Field) -> bool {
        let number = field.number() as usize;
        self.0[number / 64] >> (number % 64) & 1 == 1
    }
}

// Every field has its bit.
const _: () = assert!(CATALOGUE.len() <= 192);

#[cfg(test)]
mod tests {
    use super::{Field, FieldSet, FieldSpec};

    #[test]
    fn the_catalogue_stands_in_the_order_of_the_enum() {
        for (place, spec) in Field::all().enumerate() {
            assert_eq!(usize::from(spec.field.number()), place, "{}", spec.name);
            assert_eq!(Field::from_number(spec.field.number()), Some(spec.field));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = FieldSet::default();
        for spec in Field::all().step_by(3) {
            set.insert(spec.field);
        }
        let held: Vec<_> =
            Field::all().filter(|spec| set.contains(spec.field)).map(|spec| spec.field).collect();
        assert_eq!(held, Field::all().step_by(3).map(|spec| spec.field).collect::<Vec<_>>());
        assert!(Field::all().all(|spec| FieldSet::ALL.contains(spec.field)));
    }

    #[test]
    fn names_are_unique() {
        let each = |spec: &'static FieldSpec| spec.kinds.iter().map(|kind| (*kind, spec.name));
        let all: Vec<_> = Field::all().flat_map(each).collect();
        let mut names = all.clone();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
