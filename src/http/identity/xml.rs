//! The XML forms of the session API: a flat document with three texts in, a flat one out.
//!
//! Any root and any name space are taken. Document types and entities other than XML's own five are refused.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use zeroize::Zeroizing;

/// The texts of the elements right below the root, by local name. `None` if it is no such document.
pub(super) fn texts(document: &str, names: &[&str]) -> Option<Vec<Option<Zeroizing<String>>>> {
    let mut found: Vec<Option<Zeroizing<String>>> = names.iter().map(|_| None).collect();
    let mut reader = Reader::from_str(document);
    let (mut depth, mut roots) = (0_usize, 0_usize);
    // The element whose text is being read.
    let mut open: Option<usize> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                depth += 1;
                roots += usize::from(depth == 1);
                if depth == 2 {
                    open = names.iter().position(|name| *name == element.local_name().as_ref());
                    if let Some(slot) = open.and_then(|index| found.get_mut(index)) {
                        // A member that is given twice says two things.
                        if slot.replace(Zeroizing::default()).is_some() {
                            return None;
                        }
                    }
                }
            }
            Event::Empty(element) => {
                roots += usize::from(depth == 0);
                let at = names.iter().position(|name| *name == element.local_name().as_ref());
                if let Some(slot) = at.filter(|_| depth == 1).and_then(|index| found.get_mut(index))
                    && slot.replace(Zeroizing::default()).is_some()
                {
                    return None;
                }
            }
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                if depth < 2 {
                    open = None;
                }
            }
            Event::Text(text) => {
                if depth == 0 && !text.xml10_content().trim().is_empty() {
                    return None;
                }
                if let Some(slot) =
                    open.filter(|_| depth == 2).and_then(|index| found.get_mut(index)?.as_mut())
                {
                    slot.push_str(&text.xml10_content());
                }
            }
            Event::CData(text) => {
                if let Some(slot) =
                    open.filter(|_| depth == 2).and_then(|index| found.get_mut(index)?.as_mut())
                {
                    slot.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().ok()? {
                    Some(character) => character,
                    None => match reference.as_ref() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return None,
                    },
                };
                if let Some(slot) =
                    open.filter(|_| depth == 2).and_then(|index| found.get_mut(index)?.as_mut())
                {
                    slot.push(character);
                }
            }
            Event::DocType(_) => return None,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return (depth == 0 && roots == 1).then_some(found),
        }
    }
}

/// One text.
pub(super) fn string(text: &str) -> String {
    let text = escape(text);
    format!("<string xmlns=\"http://schemas.microsoft.com/2003/10/Serialization/\">{text}</string>")
}

/// An object with those members, which are in the order of their names as these clients want it.
pub(super) fn object(name: &str, members: &[(&str, &str)]) -> String {
    let members: String =
        members.iter().map(|(name, text)| format!("<{name}>{}</{name}>", escape(*text))).collect();
    format!("<{name} xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\">{members}</{name}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Option<Vec<Option<String>>> {
        let texts = texts(document, &["Username", "Password"])?;
        Some(texts.into_iter().map(|text| text.map(|text| text.to_string())).collect())
    }

    #[test]
    fn members_are_found_in_any_order_under_any_root_and_name_space() {
        let document = "<?xml version=\"1.0\"?><x:Any xmlns:x=\"urn:x\"><x:Password>a&amp;b&#x20ac;<![CDATA[<]]></x:Password>\
                        <Other><Username>not this</Username></Other><x:Username/></x:Any>";
        let both = vec![Some(String::new()), Some("a&b€<".to_owned())];
        assert_eq!(read(document), Some(both));
        assert_eq!(read("<a/>"), Some(vec![None, None]));
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        let bad = [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<!DOCTYPE a [<!ENTITY e \"x\">]><a><Username>&e;</Username></a>",
            "<a><Username>&e;</Username></a>",
            "<a><Username>1</Username><Username>2</Username></a>",
        ];
        for document in bad {
            assert_eq!(read(document), None, "{document}");
        }
    }

    #[test]
    fn what_is_written_is_escaped() {
        assert_eq!(
            object("T", &[("A", "<&>")]),
            "<T xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><A>&lt;&amp;&gt;</A></T>"
        );
        assert!(string("a<b").ends_with(">a&lt;b</string>"));
    }
}
