use super::example::{of, template, words};
use super::{condition_count, filter, observed, part, program, rule, scope, series, text};
use crate::engine::alert::{EntityRef, Scope, Unit, captured_paths, render};
use crate::engine::number::Exact;
use crate::event::{Field, Kind, Timestamp, Value};
use crate::rules::program::{
    Attach, Clear, Combine, Comparator, Decimal, FilterIx, Literal, Lookup, Match, Measure, Output, Path,
    Piece, Program, Severity, Table, TableIx, Test, Variable,
};

fn ticket_rule() -> Program {
    let mut rule = rule("r", vec![condition_count(Comparator::Gte, Decimal::whole(3))]);
    rule.entity = part("issue_key", Field::IssueKey);
    rule.lookups = vec![Lookup {
        name: "issue".into(),
        table: TableIx(0),
        by: vec![Variable::Path(Path::Field(Field::IssueClass)), Variable::EntityPart],
        required: false,
    }];
    rule.alert.attach = vec![Attach {
        name: "tickets".into(),
        key: 1,
        filter: FilterIx(0),
        field: Path::Field(Field::TicketId),
        max: 5,
    }];
    let mut program =
        program(rule, vec![filter(Kind::Ticket, &["ticket.created"])], vec![series(0, Measure::Count)]);
    let row = |key: &str, owner: &str| {
        let columns = vec![("owner".into(), vec![Literal::Text(owner.into())])];
        (key.into(), columns)
    };
    program.tables = vec![Table {
        name: "issues".into(),
        rows: vec![row("*", "role:support"), row("product/export", "role:product")],
    }];
    program
}

#[track_caller]
fn check(scope: &Scope<'_>, variable: Variable, expected: &str) {
    assert_eq!(render(&template(vec![Piece::Variable(variable)]), scope), expected);
}

#[test]
fn variables_have_their_forms() {
    let program = ticket_rule();
    let mut seen = observed(Exact::whole(3), Unit::Count);
    seen.onset = Some(Timestamp(0));
    let profile = [
        (Field::Currency, text("JPY")),
        (Field::Name, text("Acme")),
        (Field::ArrMinor, Value::Int(500)),
        (Field::Timezone, text("Europe/Berlin")),
        (Field::Limits, Value::Map(vec![("export".into(), Value::Int(9))])),
    ];
    let mut sorted = profile.to_vec();
    sorted.sort_by_key(|(field, _)| *field);
    let captured = [
        (Path::Field(Field::AmountMinor), Value::Int(4900)),
        (Path::Field(Field::Currency), text("EUR")),
        (Path::Property("delay_ms".into()), Value::Int(90_000)),
    ];
    let attach = [vec![text("t1"), text("t2")]];
    let observed = [seen];
    let scope = Scope {
        entity: EntityRef { account: Some("Acme GmbH"), part: Some("export") },
        profile: Some(&sorted),
        captured: &captured,
        attach: &attach,
        ..scope(&program, &observed)
    };
    let output = |output| Variable::Output(None, output);
    let path = Variable::Path;
    check(&scope, output(Output::Value), "3");
    check(&scope, output(Output::Threshold), "3");
    check(&scope, output(Output::Met), "true");
    check(&scope, output(Output::Onset), "1970-01-01 01:00");
    check(&scope, output(Output::P), "-");
    check(&scope, path(Path::Field(Field::AmountMinor)), "49.00 EUR");
    check(&scope, path(Path::Property("delay_ms".into())), "1m30s");
    check(&scope, path(Path::Account(Field::ArrMinor)), "500 JPY");
    check(&scope, path(Path::AccountArr), "500");
    check(&scope, path(Path::AccountSlug), "acme-gmbh");
    check(&scope, path(Path::AccountEntry(Field::Limits)), "9");
    check(&scope, path(Path::Account(Field::Plan)), "-");
    check(&scope, path(Path::Account(Field::AccountId)), "Acme GmbH");
    check(&scope, path(Path::Field(Field::IssueKey)), "export");
    check(&scope, Variable::EntityPart, "export");
    check(&scope, Variable::Attach(0), "t1, t2");
    check(&scope, Variable::Severity, "warning");
    check(&scope, Variable::Rung, "1");
    check(&scope, Variable::Reason, "3 ticket.created in 10 minutes (at least 3)");
}

#[test]
fn a_lookup_falls_back_to_the_row_of_everything_else() {
    let program = ticket_rule();
    let observed = [observed(Exact::whole(3), Unit::Count)];
    let captured = [(Path::Field(Field::IssueClass), text("product"))];
    let known = Scope {
        entity: EntityRef { account: Some("acme"), part: Some("export") },
        captured: &captured,
        ..scope(&program, &observed)
    };
    let owner = || Variable::Lookup(0, "owner".into());
    check(&known, owner(), "role:product");
    let elsewhere = Scope { entity: EntityRef { account: Some("acme"), part: Some("sso") }, ..known };
    check(&elsewhere, owner(), "role:support");
    check(&Scope { captured: &[], ..known }, owner(), "role:support");
    check(&known, Variable::Lookup(0, "nothing".into()), "-");
    let mut without = program.clone();
    without.tables[0].rows.remove(0);
    let scope = Scope { program: &without, rule: &without.rules[0], ..elsewhere };
    assert!(scope.lookup(0).is_none());
}

#[test]
fn the_whole_of_several_conditions_is_met_together() {
    let condition = || condition_count(Comparator::Gte, Decimal::whole(3));
    let mut program = program(rule("r", vec![condition(), condition()]), Vec::new(), Vec::new());
    let seen = |met: bool, onset: i64| {
        let mut seen = observed(Exact::whole(3), Unit::Count);
        (seen.met, seen.onset) = (met, Some(Timestamp(onset)));
        seen
    };
    let observed = [seen(true, 0), seen(false, 3_600_000)];
    let output = |output| Variable::Output(None, output);
    check(&scope(&program, &observed), output(Output::Met), "false");
    check(&scope(&program, &observed), output(Output::Onset), "1970-01-01 01:00");
    check(&scope(&program, &observed), output(Output::Value), "-");
    check(&scope(&program, &observed), Variable::Output(Some(1), Output::Value), "3");
    program.rules[0].combine = Combine::Any;
    check(&scope(&program, &observed), output(Output::Met), "true");
    check(&scope(&program, &observed), output(Output::Onset), "1970-01-01 00:00");
}

#[test]
fn what_the_texts_and_tests_name_is_captured() {
    let mut program = ticket_rule();
    let rule = &mut program.rules[0];
    rule.alert.summary = template(vec![
        words("x "),
        of(Path::Field(Field::AmountMinor)),
        of(Path::Account(Field::Name)),
        of(Path::Field(Field::AmountMinor)),
    ]);
    let hard = Test::AnyOf(vec![Literal::Text("hard".into())]);
    let decline = Variable::Path(Path::Field(Field::DeclineClass));
    rule.severity_by = vec![(Match(vec![vec![(decline, hard)]]), Severity::Critical)];
    rule.clear =
        vec![Clear::Event { filter: FilterIx(0), equal: vec![Path::Field(Field::InvoiceId)], for_ms: 0 }];
    let found = captured_paths(rule);
    let expected = [
        Field::Cause,
        Field::InvoiceId,
        Field::AmountMinor,
        Field::Currency,
        Field::DeclineClass,
        Field::IssueClass,
    ];
    assert_eq!(found, expected.map(Path::Field));
}
