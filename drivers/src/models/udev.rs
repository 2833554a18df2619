//! The table of models as udev rules: who may open the HID interfaces of tokens (udev(7)).
//!
//! The kernel makes hidraw nodes for root alone. One set of rules gives those of known tokens to the group `fobd`, which
//! is what a server runs in; the other gives them to whoever sits at the machine (`uaccess`, which logind turns into an
//! ACL; its file must sort before `73-seat-late.rules`). A rule names a USB device and so gives all its HID interfaces
//! away: on a token with a keyboard, what it types, too. Smart cards need no rule: they are pcscd's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{MODELS, Sight};

/// Who gets access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The group `fobd`.
    Group,
    /// Whoever sits at the machine.
    Seat,
}

impl Access {
    /// The name that the file of these rules has in `/etc/udev/rules.d`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Group => "70-fobd.rules",
            Self::Seat => "71-fobd-desktop.rules",
        }
    }
}

/// The text of a rules file.
#[must_use]
pub fn rules(access: Access) -> String {
    let (about, grant) = match access {
        Access::Group => (
            "# Gives the HID interfaces of the tokens that fobd knows to the group fobd, for a server:\n\
             #   groupadd --system fobd, and run the server in it\n",
            r#"GROUP="fobd", MODE="0660""#,
        ),
        Access::Seat => (
            "# Gives the HID interfaces of the tokens that fobd knows to whoever sits at the machine. Must sort before\n\
             # 73-seat-late.rules.\n",
            r#"TAG+="uaccess""#,
        ),
    };
    let mut text = format!(
        "# Made from the table of models by `UPDATE=1 cargo test -p fobd-drivers udev`.\n{about}\
         # Copy it to /etc/udev/rules.d, then: udevadm control --reload && udevadm trigger --subsystem-match=hidraw\n"
    );
    for (makers, vendor, products) in vendors() {
        let _ = write!(
            text,
            "\n# {makers}\nKERNEL==\"hidraw*\", SUBSYSTEM==\"hidraw\", ATTRS{{idVendor}}==\"{vendor:04x}\", \
             ATTRS{{idProduct}}==\"{products}\", {grant}\n",
        );
    }
    text
}

/// What each USB vendor id stands for, with its product ids as an alternative.
fn vendors() -> Vec<(String, u16, String)> {
    let mut vendors: BTreeMap<u16, (BTreeSet<String>, BTreeSet<u16>)> = BTreeMap::new();
    for model in MODELS {
        if let Sight::Hid { vendor, products, .. } = model.sight {
            let (names, ids) = vendors.entry(vendor).or_default();
            names.insert(model.full_name());
            ids.extend(products);
        }
    }
    let join = |words: Vec<String>, between: &str| words.join(between);
    vendors
        .into_iter()
        .map(|(vendor, (names, ids))| {
            let ids = ids.into_iter().map(|id| format!("{id:04x}")).collect();
            (join(names.into_iter().collect(), ", "), vendor, join(ids, "|"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_udev_rules_are_those_of_the_table() {
        for access in [Access::Group, Access::Seat] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udev").join(access.file_name());
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&path, rules(access)).unwrap();
            }
            let kept = fs::read_to_string(&path).unwrap_or_default();
            assert!(kept == rules(access), "run `UPDATE=1 cargo test -p fobd-drivers udev`");
        }
    }

    #[test]
    fn every_hid_model_is_in_a_rule_and_no_rule_gives_away_more() {
        for access in [Access::Group, Access::Seat] {
            let text = rules(access);
            let rules: Vec<&str> = text.lines().filter(|line| line.starts_with("KERNEL")).collect();
            let known: BTreeSet<(u16, u16)> = MODELS
                .iter()
                .filter_map(|model| match model.sight {
                    Sight::Hid { vendor, products, .. } => Some(products.iter().map(move |id| (vendor, *id))),
                    Sight::Card { .. } => None,
                })
                .flatten()
                .collect();
            let id = |text: &str| u16::from_str_radix(text, 16).unwrap();
            let quoted = |line: &str, key: &str| {
                let rest = line.split_once(&format!("{key}==\"")).unwrap().1;
                rest.split('"').next().unwrap().to_owned()
            };
            let given: BTreeSet<(u16, u16)> = rules
                .iter()
                .flat_map(|line| {
                    let vendor = id(&quoted(line, "ATTRS{idVendor}"));
                    quoted(line, "ATTRS{idProduct}").split('|').map(|i| (vendor, id(i))).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(given, known);
            assert!(rules.iter().all(|line| line.contains("KERNEL==\"hidraw*\"")));
        }
        assert!(Access::Seat.file_name() < "73-seat-late.rules");
    }
}
