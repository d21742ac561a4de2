from accounts.permissions import Right, allows, role_in


def test_roles_rise(team, viewer, operator, builder, admin_member, outsider):
    held = {user: role_in(user, team.pk) for user in (viewer, operator, builder, admin_member)}
    assert [allows(role, Right.OPERATE) for role in held.values()] == [False, True, True, True]
    assert role_in(outsider, team.pk) is None
