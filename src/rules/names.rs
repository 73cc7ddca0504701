//! What a name in a template, a severity test, a lookup or a clear means.

use crate::document::{Code, Node, Span, did_you_mean};
use crate::event::{Field, FieldType};
use crate::rules::compile::Compiler;
use crate::rules::detector::Judged;
use crate::rules::program::{Combine, Entity, Lookup, Output, Path, Piece, Template, Variable};
use crate::rules::vocabulary::{Named, Vocabulary};

/// A template is no longer.
const LONGEST_TEMPLATE: usize = 512;

/// The outputs of conditions that count as one.
const JOINED: [(&str, Output, FieldType); 2] =
    [("met", Output::Met, FieldType::Bool), ("onset", Output::Onset, FieldType::Time)];

/// The names that one rule knows.
pub struct Names {
    /// How its conditions combine.
    pub combine: Combine,
    /// Its conditions.
    pub conditions: Vec<(Box<str>, Judged)>,
    /// Conditions that count as one.
    pub groups: Vec<Box<str>>,
    /// Its entity.
    pub entity: Entity,
    /// Its lookups.
    pub lookups: Vec<Lookup>,
    /// What it attaches.
    pub attach: Vec<Box<str>>,
}

impl Names {
    /// The conditions that have a firing event.
    pub fn firing(&self) -> impl Iterator<Item = &Judged> {
        self.conditions.iter().map(|(_, judged)| judged).filter(|judged| judged.fires)
    }

    /// An output, bare or `NAME.output`.
    fn output(&self, name: &str) -> Option<Named<Variable>> {
        if name == "met" {
            return Some(Named::new(Variable::Output(None, Output::Met), FieldType::Bool));
        }
        let (place, judged, word) = match (self.combine, name.split_once('.')) {
            (Combine::One, None) => (0, &self.conditions.first()?.1, name),
            (Combine::One, Some(_)) | (_, None) => return None,
            (_, Some((own, word))) => {
                if let Some(group) = self.groups.iter().position(|name| **name == *own) {
                    let place = u8::try_from(self.conditions.len() + group).unwrap_or(u8::MAX);
                    let (_, output, ty) = JOINED.iter().find(|(name, ..)| *name == word)?;
                    return Some(Named::new(Variable::Output(Some(place), *output), *ty));
                }
                let place = self.conditions.iter().position(|(name, _)| **name == *own)?;
                (place, &self.conditions[place].1, word)
            }
        };
        let (_, output, ty) = judged.outputs().iter().find(|(own, ..)| *own == word)?;
        let variable = Variable::Output(Some(u8::try_from(place).unwrap_or(u8::MAX)), *output);
        Some(Named { durations: judged.durations, ..Named::new(variable, *ty) })
    }

    fn outputs(&self) -> Vec<String> {
        let mut known = vec!["met".to_owned()];
        for (name, judged) in &self.conditions {
            for (output, ..) in judged.outputs() {
                let bare = self.combine == Combine::One;
                known.push(if bare { (*output).to_owned() } else { format!("{name}.{output}") });
            }
        }
        for group in &self.groups {
            known.extend(JOINED.map(|(output, ..)| format!("{group}.{output}")));
        }
        known
    }

    /// The part of the entity's key, under the name of the entity or of its field.
    fn entity_part(&self, name: &str) -> Option<Named<Variable>> {
        let part = self.entity.part.as_ref()?;
        let field = match &part.path {
            Path::Field(field) => field.spec().name,
            _ => "",
        };
        let own = match &*part.name {
            "user" | "ticket" => field == name,
            own => own == name || field == name,
        };
        own.then(|| Named::new(Variable::EntityPart, FieldType::Text))
    }
}

/// `account.*` and `user.*`.
fn profile(name: &str, entity: &Entity) -> Option<Named<Variable>> {
    if let Some(field) = name.strip_prefix("account.") {
        return Vocabulary::account_field(field).map(|named| named.map(Variable::Path));
    }
    let user = entity.part.as_ref().is_some_and(|part| &*part.name == "user");
    let field = name.strip_prefix("user.").filter(|_| user)?;
    Vocabulary::user_field(field).map(|named| named.map(Variable::Path))
}

impl<'n> Compiler<'n> {
    /// Any variable, in the order of `rules.md` §3; nothing is reported.
    fn find(&self, names: &Names, name: &str) -> Option<Named<Variable>> {
        if let Some(found) = names.output(name).or_else(|| names.entity_part(name)) {
            return Some(found);
        }
        match name {
            "reason" => return Some(Named::new(Variable::Reason, FieldType::Text)),
            "severity" => return Some(Named::new(Variable::Severity, FieldType::Text)),
            "rung" => return Some(Named::new(Variable::Rung, FieldType::Int)),
            "accounts" if !names.entity.account && names.firing().next().is_some() => {
                return Some(Named::new(Variable::Output(Some(0), Output::Accounts), FieldType::Int));
            }
            "account_id" => {
                return Some(Named::new(Variable::Path(Path::Account(Field::AccountId)), FieldType::Text));
            }
            _ => {}
        }
        let field = name.strip_prefix("event.").unwrap_or(name);
        let fired = names.firing().find_map(|judged| self.vocabulary.event_field(judged.kind, field));
        if let Some(found) = fired {
            return Some(found.map(Variable::Path));
        }
        profile(name, &names.entity).or_else(|| self.column(names, name)).or_else(|| {
            let place = names.attach.iter().position(|own| **own == *name)?;
            Some(Named::new(Variable::Attach(u8::try_from(place).unwrap_or(u8::MAX)), FieldType::Texts))
        })
    }

    /// `LOOKUP.column`.
    fn column(&self, names: &Names, name: &str) -> Option<Named<Variable>> {
        let (lookup, column) = name.split_once('.')?;
        let place = names.lookups.iter().position(|own| *own.name == *lookup)?;
        let source = self.tables.get(usize::from(names.lookups[place].table.0))?;
        let variable = Variable::Lookup(u8::try_from(place).unwrap_or(u8::MAX), column.into());
        source.has_column(column).then(|| Named::new(variable, FieldType::Text))
    }

    /// Any variable; reports what is unknown.
    pub fn variable(&mut self, names: &Names, name: &str, span: Span) -> Option<Named<Variable>> {
        let found = self.find(names, name);
        self.keep_accounts(names, found.as_ref());
        if found.is_none() {
            let known = self.known(names);
            let near = did_you_mean(name, known.iter().map(String::as_str)).map(str::to_owned);
            let silent = names.firing().next().is_none()
                && names
                    .conditions
                    .iter()
                    .any(|(_, own)| self.vocabulary.event_field(own.kind, name).is_some());
            let report = self.mistakes.report(span, Code::E06, format!("no variable `{name}` here"));
            if silent {
                report.detail("these conditions have no firing event, so no fields of it");
            }
            if let Some(near) = near {
                report.hint(format!("did you mean `{near}`?"));
            }
        }
        found
    }

    /// An output or `account.*`, which is what `clear.if` takes; reports what is neither.
    pub fn clearing(&mut self, names: &Names, name: &str, span: Span) -> Option<Named<Variable>> {
        let account = Some(name).filter(|name| name.starts_with("account."));
        let found = names.output(name).or_else(|| profile(account?, &names.entity));
        self.keep_accounts(names, found.as_ref());
        if found.is_none() {
            let known = names.outputs();
            self.mistakes
                .report(span, Code::E06, format!("no output `{name}` here"))
                .detail(format!("{} account.*", known.join(" ")))
                .suggest(name, known.iter().map(String::as_str));
        }
        found
    }

    /// Lets a series across accounts know whose its matches are, if the variable is how many accounts they have.
    fn keep_accounts(&mut self, names: &Names, variable: Option<&Named<Variable>>) {
        let Some(Variable::Output(Some(place), Output::Accounts)) = variable.map(|own| &own.path) else {
            return;
        };
        let judged = names.conditions.get(usize::from(*place)).filter(|_| !names.entity.account);
        let series = judged.and_then(|(_, judged)| judged.detector.series());
        if let Some(series) = series.and_then(|ix| self.program.series.get_mut(usize::from(ix.0))) {
            series.extras.accounts = true;
        }
    }

    fn known(&self, names: &Names) -> Vec<String> {
        let mut known = names.outputs();
        known.extend(["reason", "severity", "rung"].map(str::to_owned));
        for judged in names.firing() {
            let fields = Field::all().filter(|spec| spec.kinds.contains(&judged.kind));
            known.extend(fields.map(|spec| spec.name.to_owned()));
        }
        known.extend(Vocabulary::account_fields().map(|name| format!("account.{name}")));
        for lookup in &names.lookups {
            if let Some(source) = self.tables.get(usize::from(lookup.table.0)) {
                known.extend(source.columns().map(|column| format!("{}.{column}", lookup.name)));
            }
        }
        known.extend(names.attach.iter().map(ToString::to_string));
        known
    }

    /// Reads a text with `{{variables}}`.
    pub fn template(&mut self, node: &'n Node, names: &Names) -> Option<Template> {
        let text = node.text(&mut self.mistakes)?;
        if text.len() > LONGEST_TEMPLATE {
            let sentence =
                format!("a template has at most {LONGEST_TEMPLATE} bytes, this has {}", text.len());
            self.mistakes.report(node.span, Code::E05, sentence);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, tail)) = after.split_once("}}").filter(|(name, _)| !name.contains("{{")) else {
                self.mistakes.report(node.span, Code::E03, "a `{{` has no `}}`");
                return None;
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let named = self.variable(names, name.trim(), node.span)?;
            pieces.push(Piece::Variable(named.path));
            rest = tail;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Some(Template(pieces))
    }
}
