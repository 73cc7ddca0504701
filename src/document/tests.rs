use expect_test::{Expect, expect};

use super::{Code, Mistakes, Node, Span, Value, did_you_mean, duration_ms, duration_text, parse};

fn read(text: &str) -> (Option<Node>, Mistakes) {
    let mut mistakes = Mistakes::default();
    let node = parse("a.yaml", text, &mut mistakes);
    (node, mistakes)
}

fn told(text: &str, expected: &Expect) {
    expected.assert_eq(&read(text).1.to_string());
}

#[test]
fn maps_keep_their_order_and_places() {
    let (node, mistakes) = read("b: 1\na:\n  - x\n  - 'y'\n");
    assert!(mistakes.is_empty(), "{mistakes}");
    let Some(Node { value: Value::Map(entries), .. }) = node else { panic!("no map") };
    let keys: Vec<_> = entries.iter().map(|entry| (&*entry.key, entry.span)).collect();
    assert_eq!(keys, [("b", Span { file: 0, line: 1, col: 1 }), ("a", Span { file: 0, line: 2, col: 1 })]);
    let Value::List(items) = &entries[1].node.value else { panic!("no list") };
    assert_eq!(items[1].span, Span { file: 0, line: 4, col: 5 });
    assert_eq!(items[1].scalar().unwrap().as_text(), Some("y"));
}

#[test]
fn json_is_read() {
    let (node, mistakes) = read("{\n\t\"a\": [1, 2.5, true, null, \"1e3\"],\n\t\"b\": {}\n}\n");
    assert!(mistakes.is_empty(), "{mistakes}");
    let node = node.unwrap();
    let items = node.get("a").unwrap().one_or_more();
    assert_eq!(items[0].scalar().unwrap().as_integer(), Some(1));
    assert!(items[1].scalar().unwrap().is_number());
    assert_eq!(items[2].scalar().unwrap().as_bool(), Some(true));
    assert!(items[3].scalar().unwrap().is_null());
    assert_eq!(items[4].scalar().unwrap().as_text(), Some("1e3"));
}

#[test]
fn what_yaml_reads_in_several_ways_is_refused() {
    told(
        "a: [yes, off, n, 2026-01-05, 12:30, 1e3, 0x1F, 010, 1_000, .inf, 'on', 22h, 1.5, -3]\n",
        &expect![[r#"
            a.yaml:1:5: `yes` may be read as true [E10]
              hint: quote it
            a.yaml:1:10: `off` may be read as false [E10]
              hint: quote it
            a.yaml:1:15: `n` may be read as false [E10]
              hint: quote it
            a.yaml:1:18: `2026-01-05` may be read as a date [E10]
              hint: quote it
            a.yaml:1:30: `12:30` may be read as a number of base sixty [E10]
              hint: quote it, or write it out
            a.yaml:1:37: `1e3` may be read as a number [E10]
              hint: quote it, or write it out
            a.yaml:1:42: `0x1F` may be read as a number [E10]
              hint: quote it, or write it out
            a.yaml:1:48: `010` may be read as a number of base eight [E10]
              hint: quote it, or write it out
            a.yaml:1:53: `1_000` may be read as a number [E10]
              hint: quote it, or write it out
            a.yaml:1:60: `.inf` may be read as a number [E10]
              hint: quote it, or write it out
        "#]],
    );
}

#[test]
fn anchors_aliases_tags_and_merge_keys_are_refused() {
    told(
        "a: &x 1\nb: *x\n",
        &expect![[r#"
        a.yaml:1:4: anchors are not read [E10]
          hint: write the value out
        a.yaml:2:4: aliases are not read [E10]
          hint: write the value out
    "#]],
    );
    told(
        "a: !!str 1\n<<: {b: 1}\n",
        &expect![[r#"
        a.yaml:1:4: tags are not read [E10]
          hint: leave the tag out; quote what shall be a string
        a.yaml:2:1: merge keys are not read [E10]
          hint: write the entries out
    "#]],
    );
}

#[test]
fn a_key_twice_a_second_document_an_empty_file_and_bad_syntax_are_told() {
    told(
        "a: 1\na: 2\n",
        &expect![[r#"
        a.yaml:2:1: key `a` stands here twice [E11]
    "#]],
    );
    told(
        "a: 1\n---\nb: 2\n",
        &expect![[r#"
        a.yaml:3:1: a second document begins here [E11]
          hint: put it into a file of its own
    "#]],
    );
    told(
        "# nothing\n",
        &expect![[r#"
        a.yaml:1:1: the file is empty [E02]
    "#]],
    );
    let (node, mistakes) = read("a: [1, 2\nb: {");
    assert!(node.is_none());
    assert_eq!(mistakes.sorted()[0].code, Code::E10);
}

#[test]
fn deep_nesting_is_refused() {
    let (node, mistakes) = read(&"[".repeat(100));
    assert!(node.is_none());
    assert_eq!(mistakes.sorted()[0].code, Code::E05);
}

#[test]
fn tables_report_unknown_and_missing_keys_and_types() {
    let (node, mut mistakes) = read("wihtin: 10\nflag: maybe\nname: 5\ngte: 70\nlevel: hgih\n");
    let node = node.unwrap();
    let table =
        node.table("count", &["topic", "within", "flag", "name", "gte", "level"], &mut mistakes).unwrap();
    assert!(table.required("topic", &mut mistakes).is_none());
    assert!(table.optional("flag").unwrap().boolean(&mut mistakes).is_none());
    assert!(table.optional("name").unwrap().text(&mut mistakes).is_none());
    assert!(table.optional("name").unwrap().duration(&mut mistakes).is_none());
    assert!(table.optional("gte").unwrap().integer(1..=64, &mut mistakes).is_none());
    let level = table.optional("level").unwrap();
    assert!(level.choice("level", &[("low", 1), ("high", 2)], &mut mistakes).is_none());
    expect![[r#"
        a.yaml:1:1: unknown key `wihtin` in count [E01]
          count takes topic within flag name gte level; hint: did you mean `within`?
        a.yaml:1:1: count has no `topic` [E02]
        a.yaml:2:7: expected true or false, found maybe [E03]
        a.yaml:3:7: expected a string, found 5 [E03]
          hint: quote it
        a.yaml:3:7: expected a duration, found 5 [E03]
          hint: write `5m` or `5s`
        a.yaml:4:6: 70 is not between 1 and 64 [E05]
        a.yaml:5:8: `hgih` is no level [E04]
          low high; hint: did you mean `high`?
    "#]]
    .assert_eq(&mistakes.to_string());
}

#[test]
fn durations_are_read_and_written() {
    assert_eq!(duration_ms("1d12h"), Some(36 * 3_600_000));
    assert_eq!(duration_ms("90s"), Some(90_000));
    assert_eq!(duration_ms("-2w"), Some(-14 * 86_400_000));
    for bad in ["", "-", "10", "5x", "h", "1h1h", "1m2h", "2bd", "99999999999999999w", "1 h", "-5"] {
        assert_eq!(duration_ms(bad), None, "{bad}");
    }
    assert_eq!(duration_text(36 * 3_600_000), "1d12h");
    assert_eq!(duration_text(-90_000), "-1m30s");
    assert_eq!(duration_text(0), "0s");
}

#[test]
fn near_words_are_suggested_and_far_ones_are_not() {
    assert_eq!(did_you_mean("wihtin", ["where", "within"]), Some("within"));
    assert_eq!(did_you_mean("error_code", ["error_codes"]), Some("error_codes"));
    assert_eq!(did_you_mean("high", ["info", "warning", "critical"]), None);
}
