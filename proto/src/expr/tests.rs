use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::NodeId;
use crate::model::{NodeIdentity, Resources};

fn node(attributes: &[(&str, &str)]) -> Facts {
    let attributes: BTreeMap<String, String> =
        attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Facts::of(&NodeIdentity {
        id: NodeId(7),
        name: "n1".into(),
        machine_id: "m".into(),
        boot_id: "b".into(),
        address: "10.0.0.1".into(),
        version: "0.1.0".into(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        attributes,
        failure_domain: None,
        leaving: None,
    })
}

fn in_rack() -> Facts {
    node(&[("meta.rack", "r1"), ("meta.disks", "ssd,hdd"), ("os", "linux"), ("kernel", "6.1.0-13-amd64")])
}

fn holds(text: &str, facts: &Facts) -> bool {
    Expr::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}")).holds(facts)
}

#[test]
fn expressions_of_the_language_hold_where_they_should() {
    let facts = in_rack();
    for text in [
        "node.os == \"linux\"",
        "attr.os == 'linux' && node.name == 'n1'",
        "meta.rack != \"r2\"",
        "meta.rack in [\"r1\", \"r3\"]",
        "version(attr.kernel) >= version(\"5.10\")",
        "meta.disks.contains(\"ssd\")",
        "meta[\"rack\"].startsWith(\"r\")",
        "node.cpu_millis >= 4000 && node.memory_bytes > 1024",
        "driver.process && !driver.docker",
        "!(meta.rack == \"r2\")",
        "has(meta.rack) ? meta.rack == \"r1\" : false",
        "true",
    ] {
        assert!(holds(text, &facts), "{text}");
    }
    for text in ["meta.rack == \"r2\"", "int(meta.rack) > 1", "version(meta.rack) > version('1')"] {
        assert!(!holds(text, &facts), "{text}");
    }
}

#[test]
fn what_a_node_does_not_have_is_an_empty_text_unless_it_is_asked_for() {
    let bare = node(&[]);
    assert!(holds("meta.rack != \"r1\"", &bare));
    assert!(!holds("meta.disks.contains(\"ssd\")", &bare));
    assert!(!holds("has(meta.rack)", &bare));
    assert!(holds("has(meta.rack)", &in_rack()));
    assert!(!holds("has(meta.rack) && meta.rack != \"r1\"", &bare));
}

#[test]
fn what_no_node_could_answer_is_wrong_when_it_is_read() {
    for (text, said) in [
        ("", "the expression is empty"),
        ("meta.rack", "the expression is a text, expected true or false"),
        ("1 + 1", "the expression is a value, expected true or false"),
        ("meta.rack = \"r1\"", "the expression cannot be read from `= \"r1\"` on"),
        ("meta.rack ==", "the expression ends too early"),
        ("meta.in == \"r1\"", "the expression cannot be read from `in == \"r1\"` on"),
        ("rack == \"r1\"", "`rack` is not known"),
        ("mta.rack == \"r1\"", "`mta` is not known"),
        ("node == \"n1\"", "`node` alone says nothing"),
        ("node.rack == \"r1\"", "a node has no `node.rack`"),
        ("meta.disks > 4", "`>` cannot be asked of string and int"),
        ("meta.a == 'x' && meta.b > 4", "`>` cannot be asked of string and int"),
        ("meta.disks.matches(\"x\")", "there is no function `matches`"),
        ("[1].all(x, x > 0)", "`all`, `exists`, `map` and `filter` are not supported"),
        ("meta.a.b == 'x'", "`.b` of what has no parts"),
    ] {
        let wrong = Expr::parse(text).expect_err(text);
        assert_eq!(wrong.message, said, "{text}: {wrong:?}");
    }
    assert_eq!(Expr::parse("mta.rack == 'r'").expect_err("a typo").hint, "did you mean `meta`?");
    assert_eq!(Expr::parse("node.nmae == 'r'").expect_err("a typo").hint, "did you mean `name`?");
    assert!(Expr::parse(&format!("meta.a == \"{}\"", "x".repeat(1024))).is_err(), "too long");
}

#[test]
fn a_failure_domain_is_a_fact_that_nodes_share() {
    let identity = NodeIdentity {
        id: NodeId(7),
        name: "n1".into(),
        machine_id: "m".into(),
        boot_id: "b".into(),
        address: "10.0.0.1".into(),
        version: "0.1.0".into(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        attributes: BTreeMap::new(),
        failure_domain: Some("sm1".into()),
        leaving: None,
    };
    let facts = Facts::of_kind(&identity);
    assert!(holds("node.failure_domain == 'sm1' && has(node.failure_domain)", &facts));
    assert!(holds("node.failure_domain == ''", &node(&[])) && !holds("has(node.failure_domain)", &node(&[])));
    for path in ["failure_domain", "node.failure_domain"] {
        let path: Path = path.parse().expect("a path");
        assert_eq!((facts.value(&path).as_deref(), node(&[]).value(&path)), (Some("sm1"), None));
        assert!(!path.is_of_one_node());
    }
}

#[test]
fn what_asks_for_one_node_is_known() {
    for (text, one) in [
        ("node.name == 'n1'", true),
        ("attr.hostname.startsWith('vm')", true),
        ("meta.name == 'n1'", false),
        ("node.os == 'linux'", false),
    ] {
        assert_eq!(Expr::parse(text).expect("valid").is_of_one_node(), one, "{text}");
    }
}

#[test]
fn facts_have_paths() {
    let facts = in_rack();
    let value = |text: &str| facts.value(&text.parse().expect("a path"));
    assert_eq!(value("meta.rack").as_deref(), Some("r1"));
    assert_eq!(value("node").as_deref(), Some("n1"));
    assert_eq!(value("meta.zone"), None);
    assert_eq!(value("node.cpu_millis").as_deref(), Some("4000"));
    for wrong in ["rack", "mta.rack", "meta.", "node.rack"] {
        assert!(wrong.parse::<Path>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_take_long(text in "(meta|node|attr|\\.rack|\\[|\\]|\\(|\\)|==|&&|!|\\?|:|'a'|\"|[0-9]|in| |\\PC){0,80}") {
        let _ = Expr::parse(&text).map(|expr| expr.holds(&in_rack()));
    }
}

#[test]
fn a_word_of_the_language_as_a_name_is_told_how_it_is_written() {
    let wrong = Expr::parse("meta.in == \"x\"").expect_err("`in` is a word");
    assert_eq!(wrong.hint, "`in` is a word of expressions; as a name it is written `meta[\"in\"]`");
    assert!(Expr::parse("meta[\"in\"] == \"x\"").is_ok());
}
