//! What Hone adds to Wireshark, on every system: `packaging/wireshark`.

/// The scripts that make the fields of packets in Wireshark; the first one loads the other. Their first lines name Hone.
pub(super) const FIELDS: [(&str, &str); 2] = [
    ("hone.lua", include_str!("../../../../packaging/wireshark/hone.lua")),
    ("hone-index.lua", include_str!("../../../../packaging/wireshark/hone-index.lua")),
];

/// The profile "Hone" of Wireshark: columns, colours and buttons. Their first lines name Hone.
pub(super) const PROFILE: [(&str, &str); 3] = [
    ("preferences", include_str!("../../../../packaging/wireshark/profile/preferences")),
    ("colorfilters", include_str!("../../../../packaging/wireshark/profile/colorfilters")),
    ("dfilter_buttons", include_str!("../../../../packaging/wireshark/profile/dfilter_buttons")),
];
