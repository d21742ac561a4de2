"""Which contacts a filter selects, for the list, exports and runs alike."""

import pytest

from projects.contacts.filtersets import clean_querystring, filtered
from projects.models import Tag


@pytest.mark.parametrize(
    ("querystring", "found"),
    [
        ("", {"c-1", "c-2", "c-3", "c-4"}),
        ("q=CONTACT+2", {"c-2"}),
        ("q=c3@example", {"c-3"}),
        ("q=c3@example&tag=&has_email=&import=", {"c-3"}),  # as the form sends it
        ("has_email=no", {"c-4"}),
        ("has_phone=yes&q=contact", {"c-1", "c-2", "c-3", "c-4"}),
        ("attribute=plan&value=pro", {"c-1", "c-3"}),
        ("attribute=size&value=5", {"c-4"}),
        ("attribute=size", {"c-4"}),
        ("attribute=no__such&value=1", set()),
        ("tag=%(vip)s", {"c-1", "c-2"}),
        ("tag=%(vip)s&tag=%(old)s", {"c-2"}),
        ("tag=999999999", set()),
        ("has_email=perhaps", set()),
    ],
)
def test_filter_selects(project, other_project, make_contacts, querystring, found):
    one, two, _three, four = make_contacts(4)
    make_contacts(2, project=other_project)
    four.email, four.attributes = "", {"size": 5}
    four.save()
    vip, old = (Tag.objects.create(project=project, name=name) for name in ("vip", "old"))
    one.tags.add(vip)
    two.tags.add(vip, old)
    contacts = filtered(project, querystring % {"vip": vip.pk, "old": old.pk})
    assert sorted(contacts.values_list("external_id", flat=True)) == sorted(found)


def test_saved_text_holds_only_filters_that_are_set():
    assert clean_querystring("after=9&has_email=&tag=7&q=+ada+&tag=3&x=1") == "q=ada&tag=3&tag=7"
