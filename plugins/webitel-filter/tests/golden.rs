//! Runs the cases of `golden.json` natively.

use hookwright_golden::{Output, check};
use hookwright_plugin::parse_settings;
use hookwright_webitel_filter::accept;

#[test]
fn golden_cases_have_the_expected_results() {
    check(concat!(env!("CARGO_MANIFEST_DIR"), "/golden.json"), |case| {
        let settings = parse_settings(case.settings.get())?;
        accept(&case.event(), &settings).map(Output::Accept)
    });
}
