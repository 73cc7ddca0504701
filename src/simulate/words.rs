//! The names and sentences that the simulated company is made of.

pub(super) const NAMES: [&str; 20] = [
    "northmill",
    "bluefield",
    "quarry",
    "harbor",
    "lumen",
    "cobalt",
    "meadow",
    "orchard",
    "tidewater",
    "summit",
    "granite",
    "willow",
    "falcon",
    "juniper",
    "anchor",
    "beacon",
    "copper",
    "driftwood",
    "ember",
    "fjord",
];

/// Zone, and minutes that its standard time is ahead of UTC. The rhythm of the simulated days keeps to standard time.
pub(super) const ZONES: [(&str, i64); 5] = [
    ("Europe/Berlin", 60),
    ("Europe/London", 0),
    ("America/New_York", -300),
    ("America/Los_Angeles", -480),
    ("Asia/Tokyo", 540),
];

pub(super) const FEATURES: [&str; 7] =
    ["dashboard", "export", "reports", "automation", "sharing", "api-keys", "audit-log"];

pub(super) const PAGES: [&str; 6] = ["home", "settings", "reports", "billing", "integrations", "help"];

pub(super) const INTEGRATIONS: [&str; 6] =
    ["salesforce", "slack", "hubspot", "netsuite", "jira", "snowflake"];

pub(super) const ERROR_CODES: [&str; 5] = ["E_AUTH", "E_NET", "E_TIMEOUT", "E_RATE", "E_SCHEMA"];

/// Feature area, category and root cause of an issue. The last few are kept for planted ones.
pub(super) const ISSUES: [(&str, &str, &str); 16] = [
    ("export", "error", "csv-encoding"),
    ("reports", "question", "date-filter"),
    ("sharing", "permission", "guest-role"),
    ("automation", "error", "trigger-delay"),
    ("dashboard", "performance", "slow-widget"),
    ("api-keys", "question", "key-rotation"),
    ("audit-log", "question", "retention"),
    ("reports", "error", "empty-report"),
    ("sharing", "error", "broken-link"),
    ("export", "performance", "large-export"),
    ("automation", "question", "schedule-zone"),
    ("dashboard", "error", "stale-cache"),
    ("api-keys", "error", "token-expiry"),
    ("export", "error", "missing-rows"),
    ("automation", "error", "double-run"),
    ("sharing", "permission", "sso-group"),
];

/// How many of the issues turn up by themselves: an account meets them in turn.
pub(super) const USUAL_ISSUES: usize = 12;

pub(super) const CALM: [&str; 5] = [
    "Hi, could you tell me how to change this setting? I looked through the help pages without luck.",
    "We noticed that the numbers differ from last week. Is that expected after the update?",
    "One of our users cannot open the page, everybody else can. Screenshot attached.",
    "Thanks for the quick answer last time. A small question about the same screen.",
    "Please let me know whether there is a limit on the number of rows.",
];

pub(super) const UPSET: [&str; 4] = [
    "This is happening again. I already wrote about it and it is still not fixed.",
    "We have reported this before, see my earlier ticket. It blocks our month end and that is not acceptable.",
    "Same problem as the last time. I would like to speak to a manager.",
    "THIRD TIME this month. If this goes on we will have to look at other vendors.",
];

pub(super) const ANSWER: &str =
    "Thank you for the report. We found the cause and will write as soon as it is fixed.";
