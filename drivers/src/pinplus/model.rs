//! Which key it is, by its serial: five digits of model, one to check, eight of number (go-ctap/token2).

/// A model and its firmware revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    prefix: &'static str,
    /// Revision, for example `R3.4`.
    pub(super) revision: &'static str,
    /// Model, for example `PIN+ Dual NFC`.
    pub(super) name: &'static str,
}

impl Model {
    /// Whether this firmware may have an OTP PIN: from R3.4 on.
    pub(super) fn has_pin(self) -> bool {
        !["R1", "R2", "R3", "R3.1", "R3.2", "R3.3"].contains(&self.revision)
    }
}

const fn model(prefix: &'static str, revision: &'static str, name: &'static str) -> Model {
    Model { prefix, revision, name }
}

const MODELS: [Model; 39] = [
    model("86105", "R1", "T2F2 USB-A NFC"),
    model("86104", "R1", "T2F2 USB-C NFC"),
    model("86103", "R1", "T2F2 Dual NFC"),
    model("86202", "R1", "FIDO Card"),
    model("96105", "R2", "PIN+ USB-A NFC"),
    model("96104", "R2", "PIN+ USB-C NFC"),
    model("96103", "R2", "PIN+ Dual NFC"),
    model("23103", "R2", "PIN+ Dual NFC"),
    model("76103", "R3", "PIN+ Dual NFC"),
    model("76104", "R3", "PIN+ USB-C NFC"),
    model("76202", "R3", "FIDO Card"),
    model("86106", "R3", "FIDO Card"),
    model("76106", "R3", "FIDO Card"),
    model("76105", "R3.1", "PIN+ USB-A NFC"),
    model("26105", "R3.1", "PIN+ USB-A NFC"),
    model("72102", "R3.1", "PIN+ Mini USB-C"),
    model("77103", "R3.2", "PIN+ Dual NFC"),
    model("24103", "R3.2", "PIN+ Dual NFC"),
    model("72101", "R3.2", "PIN+ Mini USB-A"),
    model("72103", "R3.2", "Bio3 Dual PIN+"),
    model("22103", "R3.2", "Bio3 Dual PIN+"),
    model("66105", "R3.3", "PIN+ USB-A NFC PIV"),
    model("66104", "R3.3", "PIN+ USB-C NFC PIV"),
    model("66103", "R3.3", "PIN+ Dual NFC PIV"),
    model("66107", "R3.3", "PIN+ USB-A NFC PIV"),
    model("66106", "R3.3", "PIN+ USB-C NFC PIV"),
    model("66114", "R3.3", "PIN+ Dual NFC PIV"),
    model("66113", "R3.3", "PIN+ Dual NFC PIV"),
    model("66202", "R3.3", "FIDO Card PIN+ PIV"),
    model("66102", "R3.3", "FIDO Card PIN+ PIV"),
    model("66302", "R3.3", "FIDO Card PIN+ PIV"),
    model("66101", "R3.3", "PIN+ Mini USB-A PIV"),
    model("66111", "R3.3", "PIN+ Mini USB-C PIV"),
    model("72113", "R3.3", "Bio3 Dual PIN+ PIV"),
    model("24133", "R3.3", "Bio3 Dual PIN+ PIV"),
    model("65103", "R3.4", "PIN+ Dual Ace PIV"),
    model("72114", "R3.4", "Bio3 Dual PIV"),
    model("65101", "R3.4", "PIN+ Mini USB-A PIV"),
    model("65111", "R3.4", "PIN+ Mini USB-C PIV"),
];

/// The model that a serial names, if it is one of those known.
pub(super) fn of_serial(serial: &str) -> Option<&'static Model> {
    let whole = serial.len() == 14 && serial.bytes().all(|byte| byte.is_ascii_digit());
    MODELS.iter().find(|model| whole && serial.starts_with(model.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_by_the_first_five_digits() {
        let known = |serial| of_serial(serial).map(|model| (model.revision, model.name, model.has_pin()));
        assert_eq!(known("72102935780528"), Some(("R3.1", "PIN+ Mini USB-C", false)));
        assert_eq!(known("65103012345678"), Some(("R3.4", "PIN+ Dual Ace PIV", true)));
        assert_eq!(known("00000012345678"), None);
        assert_eq!(known("65103"), None);
        assert_eq!(known("6510301234567x"), None);
    }

    #[test]
    fn no_prefix_is_there_twice() {
        let mut prefixes = MODELS.map(|model| model.prefix);
        prefixes.sort_unstable();
        assert!(prefixes.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
