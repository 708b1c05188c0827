//! In whose name a program runs: `USER[:GROUP]` as `docker run --user` understands it.
//!
//! Names are those of the image's own `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use std::path::Path;

use pith_abi::image::User;

use crate::error::Error;
use crate::tree::{Content, Found, Tree};

/// Highest number of a user or group that may be given, as for containers.
const HIGHEST: u32 = i32::MAX as u32;

/// A user and what belongs to it.
pub(crate) struct Account {
    /// Numbers of user and groups.
    pub user: User,
    /// Home directory; `/` for a user that is not in `/etc/passwd`.
    pub home: Vec<u8>,
}

/// Finds out whom `USER[:GROUP]` means in an image with these files.
pub(crate) fn resolve(text: &str, tree: &Tree) -> Result<Account, Error> {
    let (passwd, group) = (
        contents(tree, "/etc/passwd")?,
        contents(tree, "/etc/group")?,
    );
    account(text, &passwd, &group)
}

/// What the image has at a path; nothing if it has no such file.
fn contents(tree: &Tree, path: &str) -> Result<Vec<u8>, Error> {
    let Found::File(canonical) = tree.find(Path::new(path))? else {
        return Ok(Vec::new());
    };
    match tree.get(&canonical).map(|node| &node.content) {
        Some(Content::Bytes(bytes)) => Ok(bytes.clone()),
        Some(Content::Host(file)) => {
            std::fs::read(&file.path).map_err(Error::unreadable(&file.path))
        }
        _ => Ok(Vec::new()),
    }
}

/// The lines of `/etc/passwd` or `/etc/group` with at least `count` fields.
fn records(file: &[u8], count: usize) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|&byte| byte == b'\n')
        .map(|line| line.split(|&byte| byte == b':').collect::<Vec<_>>())
        .filter(move |fields| fields.len() >= count)
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// A record whose name is `text`, or else whose number is.
fn matches(fields: &[&[u8]], text: &str) -> bool {
    fields[0] == text.as_bytes()
        || number(text.as_bytes()).is_some_and(|wanted| number(fields[2]) == Some(wanted))
}

/// The number that stands for itself where no record has it.
fn plain_number(text: &str, kind: &str, file: &str) -> Result<u32, Error> {
    let bad = |reason: String| Error::BadValue {
        what: "user",
        value: text.into(),
        reason,
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad(format!(
            "is no {kind} in the image's {file}: give a number, or add a file with that name there \
             (--file HOST:{file})"
        )));
    }
    number(text.as_bytes())
        .filter(|&number| number <= HIGHEST)
        .ok_or_else(|| bad(format!("is too large: numbers reach from 0 to {HIGHEST}")))
}

/// Finds out whom `USER[:GROUP]` means by the contents of these files.
pub(crate) fn account(text: &str, passwd: &[u8], groups: &[u8]) -> Result<Account, Error> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    // Without a user, only the group changes.
    let user = if user.is_empty() { "0" } else { user };
    let record =
        records(passwd, 6).find(|fields| matches(fields, user) && number(fields[2]).is_some());
    let (name, number_of_user, own_group, home) = match &record {
        Some(fields) => (
            Some(fields[0]),
            number(fields[2]).unwrap_or(0),
            number(fields[3]).unwrap_or(0),
            Some(fields[5]).filter(|home| !home.is_empty()),
        ),
        None => (None, plain_number(user, "user", "/etc/passwd")?, 0, None),
    };
    let mut supplementary = Vec::new();
    let group = match group {
        Some(text) => match records(groups, 3).find(|fields| matches(fields, text)) {
            Some(fields) => number(fields[2]).unwrap_or(0),
            None => plain_number(text, "group", "/etc/group")?,
        },
        None => {
            supplementary = name.map_or(Vec::new(), |name| memberships(name, groups));
            own_group
        }
    };
    Ok(Account {
        user: User {
            user: number_of_user,
            group,
            supplementary,
        },
        home: home.unwrap_or(b"/").to_vec(),
    })
}

/// The groups that list a user as a member, each once.
fn memberships(name: &[u8], groups: &[u8]) -> Vec<u32> {
    let mut numbers: Vec<u32> = records(groups, 4)
        .filter(|fields| {
            fields[3]
                .split(|&byte| byte == b',')
                .any(|member| member == name)
        })
        .filter_map(|fields| number(fields[2]))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # a remark\n\
        www:x:33:34:www:/var/www:/usr/sbin/nologin\n\
        77:x:1077:1078::/seven:\n\
        lost:x:99:99::\n\
        bad:x:many:0::/:\n";
    const GROUP: &[u8] =
        b"root:x:0:\nstaff:x:50:www,other\nadm:x:4:other,www\naudio:x:29:other\nwww:x:34:\n";

    fn resolved(text: &str) -> (u32, u32, Vec<u32>, String) {
        let account = account(text, PASSWD, GROUP).expect(text);
        let User {
            user,
            group,
            supplementary,
        } = account.user;
        let home = String::from_utf8(account.home).unwrap();
        (user, group, supplementary, home)
    }

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(resolved("www"), (33, 34, vec![4, 50], "/var/www".into()));
        assert_eq!(resolved("33"), (33, 34, vec![4, 50], "/var/www".into()));
        assert_eq!(resolved("root"), (0, 0, vec![], "/root".into()));
        assert_eq!(resolved("lost"), (99, 99, vec![], "/".into()));
        // A name that looks like a number comes first.
        assert_eq!(resolved("77"), (1077, 1078, vec![], "/seven".into()));
    }

    #[test]
    fn a_group_that_is_given_is_the_only_one() {
        assert_eq!(resolved("www:staff"), (33, 50, vec![], "/var/www".into()));
        assert_eq!(resolved("www:1234"), (33, 1234, vec![], "/var/www".into()));
        assert_eq!(resolved("5000:audio"), (5000, 29, vec![], "/".into()));
        assert_eq!(resolved(":audio"), (0, 29, vec![], "/root".into()));
        assert_eq!(resolved("www:"), (33, 34, vec![4, 50], "/var/www".into()));
    }

    #[test]
    fn numbers_need_no_account() {
        assert_eq!(resolved("1234"), (1234, 0, vec![], "/".into()));
        assert_eq!(
            resolved("2147483647"),
            (2_147_483_647, 0, vec![], "/".into())
        );
        assert_eq!(account("7:8", b"", b"").unwrap().user.group, 8);
    }

    #[test]
    fn who_is_not_there_is_named() {
        for (text, expected) in [
            ("nobody", "is no user in the image's /etc/passwd"),
            ("bad", "is no user"),
            ("www:wheel", "is no group in the image's /etc/group"),
            ("-1", "is no user"),
            ("+1", "is no user"),
            ("2147483648", "is too large"),
            ("99999999999", "is too large"),
            ("1:2147483648", "is too large"),
        ] {
            let error = account(text, PASSWD, GROUP).err().expect(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
