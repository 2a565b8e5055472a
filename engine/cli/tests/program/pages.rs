//! What the program says about itself.

use crate::support::{Scratch, headcast, stderr, stdout};

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let page = headcast(&format!("completions {shell}"));
        assert!(page.status.success() && stdout(&page).contains("subscribe"), "{shell}");
    }
    assert!(stdout(&headcast("man")).starts_with(".ie"));
    let scratch = Scratch::new();
    let made = headcast(&format!("man --directory {}", scratch.as_path().display()));
    assert!(made.status.success(), "{}", stderr(&made));
    for page in
        ["headcast.1", "headcast-publish.1", "headcast-relay.1", "headcast-subscribe.1", "headcast-resolve.1"]
    {
        assert!(scratch.path(page).exists(), "{page}");
    }
}

#[test]
fn help_teaches_with_examples() {
    let help = stdout(&headcast("publish --help"));
    assert!(help.contains("Examples:") && help.contains("[env: HEADCAST_TO"), "{help}");
    assert_eq!(headcast("").status.code(), Some(2));
    assert_eq!(headcast("--version").status.code(), Some(0));
}
