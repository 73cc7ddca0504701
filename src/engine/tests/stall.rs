//! A source that brings too little, from the journal to what is and is not said.

use crate::event::{Event, Kind, Timestamp};
use crate::rules::{Options, load};

use super::driver::World;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const RULES: &str = r#"
version: 1
name: stall
defaults: {status: active, on_activate: open, policy: {cooldown: 0s, contact_budget: ignore, sequence_gap: ignore, contact_hours: ignore}}
rules:
- {id: silent, title: t, why: w, severity: info, family: silent, entity: account, expires_after: 90d,
   when: {absence: {topic: usage, where: {event: login.succeeded}, for: 3d}},
   alert: &a {summary: s, owner: role:x, playbook: p, next_step: {text: t}}}
"#;

fn rules(more: &str) -> World {
    let alert = "{summary: s, owner: role:x, playbook: p, next_step: {text: t}}";
    let text = RULES.replace("&a ", "") + &more.replace("ALERT", alert);
    let program =
        load(&[("stall.yaml", &text)], Options::default()).unwrap_or_else(|it| panic!("{it}")).program;
    World::new(program, Timestamp(0))
}

/// Whole minutes of a source of so many records each.
fn brings(world: &mut World, (from, to): (i64, i64), records: i64) {
    for at in (from..to).step_by(usize::try_from(MINUTE).unwrap()) {
        world.tick_with(Timestamp(at), Kind::Usage, records);
    }
}

fn login(world: &mut World, at: i64) {
    let mut event = Event::new(Kind::Usage, "login.succeeded", Timestamp(at));
    event.account = Some("acme".into());
    world.line(Timestamp(at), event);
}

/// When what opened.
fn opened(world: &World) -> Vec<(i64, String)> {
    let alerts = world.output.alerts.iter().map(|alert| {
        let text = |path: &[&str]| {
            let found = path.iter().try_fold(&alert.data, |data, name| data.entry(name));
            found.and_then(|value| value.as_text()).unwrap_or_default().to_owned()
        };
        let time = alert.data.entry("times").and_then(|times| times.entry("emitted")).unwrap();
        let crate::event::Value::Time(at) = time else { panic!("no time") };
        (at.0, format!("{} {}", text(&["rule", "id"]), text(&["action"])))
    });
    alerts.filter(|(_, what)| what.ends_with("opened")).collect()
}

/// A week as usual, a login on its last day, an outage of six hours two days later.
fn outage(mut world: World) -> World {
    let (login_at, lost) = (7 * DAY, (9 * DAY, 9 * DAY + 6 * HOUR));
    brings(&mut world, (0, login_at), 60);
    login(&mut world, login_at);
    brings(&mut world, (login_at + MINUTE, lost.0), 60);
    brings(&mut world, lost, 0);
    brings(&mut world, (lost.1, 12 * DAY), 60);
    world
}

#[test]
fn silence_is_not_counted_while_too_little_comes() {
    let world = outage(rules(""));
    let opened = opened(&world);
    assert_eq!(opened.len(), 1, "{opened:?}");
    let (at, what) = &opened[0];
    assert_eq!(what, "silent opened");
    // Six hours and the time in which a half still or again came: within the quarter of an hour at both ends. Ten minutes
    // of lateness, and a minute between ticks.
    let late = (at - (10 * DAY)) / MINUTE;
    assert!((360 + 10..=360 + 10 + 16).contains(&late), "{late} minutes");
}

#[test]
fn who_ignores_stalls_goes_on_while_others_wait() {
    let careless = "- {id: careless, title: t, why: w, severity: info, family: careless, entity: account, \
                    expires_after: 90d, alert: ALERT, \
                    when: {absence: {topic: usage, where: {event: login.succeeded}, for: 50h}, guard: {stall: ignore}}}\n\
                    - {id: careful, title: t, why: w, severity: info, family: careful, entity: account, \
                    expires_after: 90d, alert: ALERT, \
                    when: {absence: {topic: usage, where: {event: login.succeeded}, for: 50h}}}\n";
    let world = outage(rules(careless));
    let opened: Vec<_> = opened(&world).into_iter().map(|(at, what)| ((at - 7 * DAY) / HOUR, what)).collect();
    let expected = [(50, "careless opened"), (56, "careful opened"), (78, "silent opened")];
    assert_eq!(opened, expected.map(|(hours, what)| (hours, what.to_owned())));
}

#[test]
fn a_restart_in_the_middle_of_an_outage_changes_nothing() {
    let world = outage(rules(""));
    let again = world.again(|place| place % 611 == 0, 2);
    assert_eq!(again.output, world.output);
}

#[test]
fn days_after_an_outage_that_goes_on_are_counted_as_if_it_were_over() {
    let by = |id: &str, days: u32, count_as: &str| {
        format!(
            "- {{id: {id}, title: t, why: w, severity: info, family: {id}, entity: account, \
             expires_after: 90d, alert: ALERT, when: {{absence: {{topic: usage, \
             where: {{event: login.succeeded}}, for: {days}d, count_as: {count_as}}}}}}}\n"
        )
    };
    let mut world = rules(&(by("days", 3, "calendar_days") + &by("business", 2, "business_days")));
    let (since, seen, until) = (9 * DAY, 9 * DAY + 3 * HOUR, 9 * DAY + 6 * HOUR);
    brings(&mut world, (0, since), 60);
    brings(&mut world, (since, seen), 0);
    // A Saturday: Sunday to Tuesday are three days, Monday and Tuesday two with business hours.
    login(&mut world, seen);
    brings(&mut world, (seen + MINUTE, until), 0);
    brings(&mut world, (until, 13 * DAY + HOUR), 60);
    let opened: Vec<_> = opened(&world).into_iter().map(|(at, what)| (at / HOUR, what)).collect();
    // Three days of 24 hours, without the three that were still lost.
    let expected = [(12 * 24 + 6, "silent opened"), (13 * 24, "business opened"), (13 * 24, "days opened")];
    assert_eq!(opened, expected.map(|(hours, what)| (hours, what.to_owned())));
}

#[test]
fn a_source_that_is_read_no_further_is_stalled() {
    let mut world = rules("");
    brings(&mut world, (0, HOUR), 60);
    world.run_to(Timestamp(2 * HOUR));
    assert!(!world.engine.stalled()[0], "it is quiet, and caught up");
    for at in (2 * HOUR..3 * HOUR).step_by(usize::try_from(MINUTE).unwrap()) {
        world.tick_behind(Timestamp(at), Kind::Usage);
    }
    assert!(world.engine.stalled()[0]);
}
