//! Two processes of one group, one killed, one joining: the same alerts.

use std::path::Path;

use super::cluster::App;
use super::crash::{assert_same, by_entity, load, undisturbed};

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn processes_come_and_go_and_the_alerts_stay_the_same() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let app = App::new("groups", &rules);
    app.write_config("second.yaml", "intake, detect", "b", "state-b", "");
    let first = app.run("forewarn.yaml");
    load(&app, 0);
    let second = app.run("second.yaml");
    load(&app, 1);
    first.kill();
    load(&app, 2);
    let first = app.run("forewarn.yaml");
    load(&app, 3);
    second.stop();
    app.wait_intake(&app.topic("error-log"));
    app.wait_intake(&app.topic("usage"));
    app.wait_detect();
    first.stop();
    let found = by_entity(app.read_all(&app.topic("alerts")));
    assert!(!found.is_empty());
    assert_same(&found, &undisturbed(&app));
}
