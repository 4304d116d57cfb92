use proto::units::parse_duration;

use super::*;

fn time(text: &str) -> SettingValue {
    SettingValue::Time(parse_duration(text).expect("a duration"))
}

fn change(setting: Setting, value: SettingValue) -> SettingChange {
    SettingChange { setting, value }
}

fn refusal(settings: &Settings, changes: &[SettingChange]) -> (String, String) {
    let refusal = settings.changed(changes).expect_err("refused");
    assert_eq!(refusal.kind, ErrorKind::Invalid);
    (refusal.message, refusal.hint)
}

#[test]
fn every_setting_has_a_name_of_its_own_and_may_be_what_it_is_by_default() {
    for setting in Setting::ALL {
        assert_eq!(Setting::named(setting.name()), Some(setting));
        let defaults = Settings::default();
        let same = defaults.changed(&[change(setting, setting.of(&defaults))]);
        assert_eq!(same, Ok(defaults), "{}", setting.name());
    }
    assert_eq!(Setting::named("heartbeats"), None);
}

#[test]
fn both_ends_of_a_range_are_possible_and_what_is_beyond_is_refused_with_the_range() {
    let defaults = Settings::default();
    for setting in Setting::ALL {
        let one = Duration::from_millis(1);
        let (ends, beyond) = match setting.allowed() {
            Allowed::Time(least, most) => {
                ([least, most].map(SettingValue::Time), [least - one, most + one].map(SettingValue::Time))
            }
            Allowed::Count(least, most) => {
                ([least, most].map(SettingValue::Count), [least - 1, most + 1].map(SettingValue::Count))
            }
            Allowed::Switch => ([true, false].map(SettingValue::Switch), [0, 1].map(SettingValue::Count)),
        };
        for value in ends {
            // What belongs together comes along.
            let with = match (setting, value) {
                (Setting::Heartbeat, _) => vec![change(Setting::NodeTimeout, time("10m"))],
                (Setting::NodeTimeout, _) => vec![change(Setting::Heartbeat, time("100ms"))],
                _ => vec![],
            };
            let all: Vec<_> = with.into_iter().chain([change(setting, value)]).collect();
            let after = defaults.changed(&all).unwrap_or_else(|refusal| panic!("{value}: {refusal:?}"));
            assert_eq!(setting.of(&after), value);
        }
        for value in beyond {
            let (message, _) = refusal(&defaults, &[change(setting, value)]);
            assert!(message.starts_with(&format!("{} cannot be {value}", setting.name())), "{message}");
            assert!(message.contains(&setting.allowed().to_string()), "{message}");
        }
    }
}

#[test]
fn three_heartbeats_fit_into_a_lease_and_the_refusal_says_which_would() {
    let defaults = Settings::default();
    let (message, hint) = refusal(&defaults, &[change(Setting::NodeTimeout, time("1s"))]);
    assert_eq!(
        message,
        "node_timeout would be 1s and a heartbeat come every 1s: 3 heartbeats at least must fit"
    );
    assert_eq!(hint, "heartbeat=333ms node_timeout=1s together would be right");
    let (_, hint) = refusal(&defaults, &[change(Setting::Heartbeat, time("2s"))]);
    assert_eq!(hint, "heartbeat=2s node_timeout=6s together would be right");
    let both = [change(Setting::Heartbeat, time("333ms")), change(Setting::NodeTimeout, time("1s"))];
    assert!(defaults.changed(&both).is_ok());
}

#[test]
fn what_a_servers_file_made_tight_keeps_nobody_from_changing_something_else() {
    let tight = Settings { node_timeout: Duration::from_secs(2), ..Settings::default() };
    let after = tight.changed(&[change(Setting::Versions, SettingValue::Count(3))]);
    assert_eq!(after, Ok(Settings { versions: 3, ..tight.clone() }));
    refusal(&tight, &[change(Setting::Heartbeat, time("900ms"))]);
}

#[test]
fn what_is_shown_can_be_set() {
    let shown: Vec<String> =
        Setting::ALL.iter().map(|setting| setting.of(&Settings::default()).to_string()).collect();
    assert_eq!(shown, ["1s", "4s", "200", "100", "1d", "10", "false", "34", "1m", "3d"]);
    let rules: Vec<String> = Setting::ALL.iter().map(|setting| setting.rule()).collect();
    assert_eq!(
        rules,
        [
            "100ms to 1m",
            "1s to 10m, and 3 heartbeats at least",
            "1 to 1000",
            "1 to 5000",
            "1m to 30d",
            "1 to 100",
            "true or false",
            "1 to 100",
            "1s to 1d",
            "1m to 365d"
        ]
    );
}
