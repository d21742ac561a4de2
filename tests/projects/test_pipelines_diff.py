from projects.pipelines.diff import difference


def step(name, kind="template", **config):
    return {"name": name, "kind": kind, "config": config}


def marks(old, new):
    changes = difference({"steps": old}, {"steps": new}).steps
    return [(change.name, change.marks) for change in changes]


A, B, C, D = (step(name, field=name) for name in "abcd")


def test_the_same_is_no_difference():
    found = difference({"steps": [A, B]}, {"steps": [A, B]})
    assert found.is_empty
    assert found.summary == "no difference"


def test_added_and_removed_stand_where_they_were():
    assert marks([A, B, C], [A, D, C]) == [
        ("a", []), ("b", ["removed"]), ("d", ["added"]), ("c", []),
    ]  # fmt: skip


def test_only_the_steps_that_moved_are_called_moved():
    assert marks([A, B, C, D], [D, A, B, C]) == [("d", ["moved"]), ("a", []), ("b", []), ("c", [])]


def test_a_step_with_another_name_and_the_same_content_is_renamed():
    [change] = difference({"steps": [A]}, {"steps": [step("z", field="a")]}).steps
    assert (change.marks, change.old_name, change.fields) == (["renamed"], "a", [])


def test_fields_are_told_old_and_new():
    old = step("call", "http", url="https://a", headers=[{"name": "X", "value": "1"}], retry=True)
    new = step("call", "http", url="https://b", headers=[{"name": "X", "value": "2"}], max=3)
    found = difference({"steps": [old]}, {"steps": [new]})
    assert [(f.path, f.old, f.new) for f in found.steps[0].fields] == [
        ("url", "https://a", "https://b"),
        ("headers 1.value", "1", "2"),
        ("max", "", "3"),
        ("retry", "yes", ""),
    ]
    assert found.summary == "1 step changed"


def test_long_texts_are_compared_by_line():
    old, new = step("t", template="one\ntwo\nthree"), step("t", template="one\n2\nthree")
    [field] = difference({"steps": [old]}, {"steps": [new]}).steps[0].fields
    assert [(line.mark, line.text) for line in field.lines] == [
        ("same", "one"), ("removed", "two"), ("added", "2"), ("same", "three"),
    ]  # fmt: skip


def test_a_change_of_kind_is_a_change():
    [change] = difference({"steps": [A]}, {"steps": [step("a", "set", field="a")]}).steps
    assert [(f.path, f.old, f.new) for f in change.fields] == [("kind", "template", "set")]


def test_a_renamed_step_that_changed_a_little_is_still_that_step():
    old = step("send", "http", url="https://a", method="PUT", body="x")
    new = step("send-it", "http", url="https://b", method="PUT", body="x")
    [change] = difference({"steps": [old]}, {"steps": [new]}).steps
    assert change.marks == ["renamed", "changed"]
    assert [(f.label, f.old, f.new) for f in change.fields] == [("URL", "https://a", "https://b")]
