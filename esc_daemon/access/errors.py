"""
What can go wrong with users, as one tree.

* AccessError
  + BadUserName: the name cannot be one
  + BadGroupName: the name cannot be a group's
  + BadPassword: empty, or longer than we hash
  + BadPublicKey: not one line of an OpenSSH public key
  + UserExists
  + UserUnknown
  + DamagedUsersFile: users.json cannot be read
  + DamagedKey: a key file of ours cannot be read
  + LostKey: the key of what is sealed is not where it should be
"""


class AccessError(Exception):
    """Something about a user; the text is fit for the operator and holds no secret."""


class BadUserName(AccessError):
    """The name cannot be a user's."""


class BadGroupName(AccessError):
    """The name cannot be a group's."""


class BadPassword(AccessError):
    """The password cannot be used."""


class BadPublicKey(AccessError):
    """The text is not an OpenSSH public key."""


class UserExists(AccessError):
    """There is a user of that name already."""


class UserUnknown(AccessError):
    """There is no user of that name."""


class DamagedUsersFile(AccessError):
    """The file of users cannot be read; nobody can log in until it is mended."""


class DamagedKey(AccessError):
    """A key file in the data directory cannot be read; names it and says what to do."""


class LostKey(AccessError):
    """The key of what is sealed at rest is missing; names the file and says what to do."""
