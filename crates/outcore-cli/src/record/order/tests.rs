//! Keys are in the order of the options, and their parts come back as text.

use super::*;

fn letters(text: &str) -> Flags {
    let mut flags = Flags::default();
    for letter in text.bytes() {
        flags.add(letter, At::Both).unwrap();
    }
    flags
}

fn key(order: &Order, record: &str) -> Vec<u8> {
    let mut key = Vec::new();
    order
        .push_key(record.as_bytes(), &mut key, &mut Spare::default())
        .unwrap();
    key
}

/// Each group has equal keys, and lesser ones than the next.
fn assert_ascend(order: &Order, groups: &[&[&str]]) {
    let mut last: Option<Vec<u8>> = None;
    for group in groups {
        let first = key(order, group[0]);
        for record in *group {
            assert_eq!(key(order, record), first, "{record} and {}", group[0]);
        }
        assert!(last.is_none_or(|last| last < first), "{}", group[0]);
        last = Some(first);
    }
}

#[test]
fn parts_count_one_after_the_other() {
    let order = Order::of_text(&["2,2", "1,1nr"], Flags::default(), Some(b':')).unwrap();
    assert_ascend(
        &order,
        &[&["9:a:x", "9.0:a"], &["1:a"], &["2:ab", "2:ab:"], &["1:b"]],
    );
    assert!(
        Order::of_text::<&str>(&[], letters("r"), None)
            .unwrap()
            .is_empty()
    );
    let order = Order::of_text::<&str>(&[], letters("fb"), None).unwrap();
    assert_ascend(&order, &[&["a", " A"], &["b"]]);
}

#[test]
fn what_is_said_about_all_keys_counts_where_a_key_says_nothing() {
    let order = Order::of_text(&["1,1", "2,2f"], letters("nr"), None).unwrap();
    assert_ascend(&order, &[&["10 a", "10 A"], &["9 a"], &["9 b"]]);
}

#[test]
fn columns_are_found_by_name() {
    let header = b"\xef\xbb\xbfid,\"a,b\",x:n,x\r\n";
    let order = |names: &[&str]| Order::of_csv(names, Flags::default(), b',', header);
    let both = order(&["a,b:r", "id:n"]).unwrap();
    assert_ascend(
        &both,
        &[
            &["2,\"b\"", "2.0,b,x"],
            &["10,b"],
            &["9,\"\"\"\""],
            &["1", "1,"],
        ],
    );
    // A name that is there is meant as it is.
    assert_ascend(&order(&["x:n"]).unwrap(), &[&["0,0,10,9"], &["0,0,9,10"]]);
    assert_ascend(&order(&["x:nr"]).unwrap(), &[&["0,0,0,10"], &["0,0,0,9"]]);
    let text = order(&["y:n"]).unwrap_err();
    assert_eq!(
        text,
        "the header has no column \"y\"; it has id, a,b, x:n, x"
    );
    assert!(order(&["x:ng"]).is_err());
    assert!(Order::of_csv(&["a"], Flags::default(), b',', b"a,a").is_err());
}

#[test]
fn values_of_json_ascend_by_kind_and_value() {
    let order = Order::of_json(&["a"], Flags::default()).unwrap();
    assert_ascend(
        &order,
        &[
            &["{}", "{\"a\":null,\"b\":1}"],
            &["{\"a\":false}"],
            &["{\"a\":true}"],
            &["{\"a\":-1e300}"],
            &["{\"a\":-9007199254740993}"],
            &["{\"a\":-9007199254740992}", "{\"a\":-9007199254740992.0}"],
            &["{\"a\":0}", "{\"a\":-0.0}"],
            &["{\"a\":1e-320}"],
            &[
                "{\"a\":10}",
                "{\"a\":1e1}",
                "{\"b\":[{\"a\":1}],\"a\":10.0}",
            ],
            &["{\"a\":18446744073709551615}"],
            &["{\"a\":\"\"}"],
            &["{\"a\":\"10\"}", "{\"a\":\"\\u0031\\u0030\"}"],
            &["{\"a\":\"9\"}"],
            &["{\"a\":[]}", "{\"a\":{\"a\":1}}"],
        ],
    );
    let order = Order::of_json(&["a:n", "b:fr"], Flags::default()).unwrap();
    assert_ascend(
        &order,
        &[
            &["{\"a\":\"9\"}", "{\"a\":9}", "{\"b\":null,\"a\":\"9.0\"}"],
            &["{\"a\":10.0,\"b\":\"x\"}", "{\"b\":\"X\",\"a\":\"10\"}"],
            &["{\"a\":10}"],
        ],
    );
    let mut key = Vec::new();
    for record in ["", "[]", "{\"a\":1,\"a\":1}", "{\"a\":1} {}"] {
        let pushed = order.push_key(record.as_bytes(), &mut key, &mut Spare::default());
        assert!(pushed.is_err(), "{record}");
    }
}

#[test]
fn values_are_passed_on_as_text() {
    let values = |order: &Order, record: &str| {
        let mut found = Vec::new();
        let each = |value: &[u8]| found.push(String::from_utf8(value.to_vec()).unwrap());
        order
            .values(record.as_bytes(), &mut Spare::default(), each)
            .unwrap();
        found
    };
    let order = Order::of_json(&["a", "b:nr", "c"], Flags::default()).unwrap();
    let record = "{\"a\":\"x\\\"\",\"b\":-2.50,\"c\":true}";
    assert_eq!(values(&order, record), ["x\"", "-2.5", "true"]);
    let order = Order::of_csv(&["b", "a"], Flags::default(), b';', b"a;b").unwrap();
    assert_eq!(values(&order, "\"1;\"\"\";2"), ["2", "1;\""]);
    let order = Order::of_text(&["2b,2", "1"], Flags::default(), None).unwrap();
    assert_eq!(values(&order, "a  b c"), ["b", "a  b c"]);
}

#[test]
fn a_colon_in_a_name_is_no_letter() {
    assert_eq!(named("a:b:x").unwrap(), ("a:b:x", Flags::default()));
    assert_eq!(named("a:n:").unwrap(), ("a:n", Flags::default()));
    assert_eq!(named("a:b:n").unwrap(), ("a:b", letters("n")));
}
