//! Killed with the state folder gone, paused for longer than the session, restarted within it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::cluster::{App, until};
use super::crash::{assert_same, by_entity, load, undisturbed};
use super::state::assert_agrees;

fn app(name: &str) -> App {
    App::new(name, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules"))
}

fn catch_up(app: &App) {
    app.wait_intake(&app.topic("error-log"));
    app.wait_intake(&app.topic("usage"));
    app.wait_detect();
}

/// How often a line of the log says so.
fn times(log: &str, sentence: &str) -> usize {
    log.lines().filter(|line| line.contains(sentence)).count()
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn machines_that_are_lost_with_their_stores_change_nothing() {
    let app = app("lost");
    let mut rows = 0;
    for stretch in 0..6 {
        let running = app.run("forewarn.yaml");
        load(&app, stretch);
        catch_up(&app);
        // A marker of every partition is written within the interval of two seconds, somewhere in the midst of things.
        let marked = times(&running.log(), "changelog marked");
        until("a marker is written", || times(&running.log(), "changelog marked") > marked + 3);
        load(&app, 100 + stretch);
        running.kill();
        rows += assert_agrees(&app, &app.path("state"));
        fs::remove_dir_all(app.path("state")).unwrap();
    }
    assert!(rows > 1_000, "only {rows} rows were compared");
    let running = app.run("forewarn.yaml");
    catch_up(&app);
    let log = running.log();
    running.stop();
    assert!(times(&log, "restored from the changelog") >= 20, "the journal alone was replayed:\n{log}");
    assert_eq!(times(&log, "\"discard\":\"Some"), 0);
    assert!(assert_agrees(&app, &app.path("state")) > 0);
    let found = by_entity(app.read_all(&app.topic("alerts")));
    assert!(!found.is_empty());
    assert_same(&found, &undisturbed(&app));
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn a_worker_that_was_paused_for_longer_than_its_session_publishes_nothing_more() {
    let app = app("zombie");
    app.write_config("second.yaml", "intake, detect", "b", "state-b", "");
    let paused = app.run("forewarn.yaml");
    load(&app, 0);
    catch_up(&app);
    load(&app, 1);
    paused.signal("STOP");
    let second = app.run("second.yaml");
    load(&app, 2);
    // Only who has taken all partitions over can come to the end; the session of six seconds passes meanwhile.
    catch_up(&app);
    paused.signal("CONT");
    load(&app, 3);
    catch_up(&app);
    paused.kill();
    second.stop();
    assert!(assert_agrees(&app, &app.path("state-b")) > 0);
    let found = by_entity(app.read_all(&app.topic("alerts")));
    assert!(!found.is_empty());

    // Whoever comes next, with nothing but the changelog, agrees, too.
    fs::remove_dir_all(app.path("state")).unwrap();
    fs::remove_dir_all(app.path("state-b")).unwrap();
    let third = app.run("forewarn.yaml");
    load(&app, 4);
    catch_up(&app);
    third.stop();
    assert!(assert_agrees(&app, &app.path("state")) > 0);
    assert_same(&by_entity(app.read_all(&app.topic("alerts"))), &undisturbed(&app));
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn a_restarted_member_takes_its_own_partitions_back_at_once() {
    let app = app("static");
    app.write_config("second.yaml", "intake, detect", "b", "state-b", "");
    for config in ["forewarn.yaml", "second.yaml"] {
        let text = fs::read_to_string(app.path(config)).unwrap();
        fs::write(app.path(config), text.replace("session_timeout: 6s", "session_timeout: 80s")).unwrap();
    }
    let first = app.run("forewarn.yaml");
    until("the first has all partitions", || times(&first.log(), "task opened") == 4);
    let second = app.run("second.yaml");
    // Then each has two of the four.
    until("the partitions are shared", || {
        times(&second.log(), "task opened") >= 2 && times(&first.log(), "task opened") >= 6
    });
    load(&app, 0);
    catch_up(&app);
    let before = times(&first.log(), "task opened");
    let others = times(&second.log(), "task assigned");
    first.kill();
    let restarted = Instant::now();
    let first = app.run("forewarn.yaml");
    load(&app, 1);
    catch_up(&app);
    let took = restarted.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}: it waited for the session to end");
    let log = first.log();
    assert_eq!(times(&log, "task opened"), before + 2, "{log}");
    assert_eq!(times(&log, "restored from the changelog"), 0, "its store was there");
    assert_eq!(times(&second.log(), "task assigned"), others, "the other member was disturbed");
    second.stop();
    first.stop();
    assert_same(&by_entity(app.read_all(&app.topic("alerts"))), &undisturbed(&app));
}
