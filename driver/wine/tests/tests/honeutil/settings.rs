//! The driver's settings: `log-level` and `ring-size`. Both take effect at once and outlast the driver.

use hone_wine_tests::{Driver, driver};

/// Standard output of a command that succeeds.
fn told(driver: &Driver, arguments: &[&str]) -> String {
    driver.run_honeutil(arguments).silently()
}

fn restart(driver: &mut Driver) {
    assert!(driver.stop(), "no reader is attached");
    driver.load(true);
}

#[test]
fn log_levels_are_set_and_outlast_the_driver() {
    let Some(mut driver) = driver() else { return };
    driver.forget_log_levels();
    restart(&mut driver);
    let all = "0x1f error, warning, information, verbose, lock-status\n";
    assert_eq!(told(&driver, &["log-level"]), all);
    let set = "0x0b error, warning, verbose\n";
    assert_eq!(told(&driver, &["log-level", "warning,verbose"]), set);
    assert_eq!(told(&driver, &["log-level"]), set);
    restart(&mut driver);
    assert_eq!(told(&driver, &["log-level"]), set);
    assert_eq!(told(&driver, &["log-level", "0"]), "0x01 error\n", "errors are always written");
    assert_eq!(told(&driver, &["log-level", "all"]), all);
    driver.forget_log_levels();
}

#[test]
fn the_ring_size_is_set_and_outlasts_the_driver() {
    let Some(mut driver) = driver() else { return };
    driver.set_ring_size(Some(4096));
    assert_eq!(told(&driver, &["ring-size"]), "4096 bytes (4.0 KiB): 512 blocks\n", "as the registry has it");
    // The driver makes the keys, too.
    driver.set_ring_size(None);
    restart(&mut driver);
    assert_eq!(told(&driver, &["ring-size"]), "16384 bytes (16.0 KiB): 2,048 blocks\n");
    let set = "65536 bytes (64.0 KiB): 8,192 blocks\n";
    assert_eq!(told(&driver, &["ring-size", "65536"]), set);
    assert_eq!(told(&driver, &["ring-size"]), set);
    restart(&mut driver);
    assert_eq!(told(&driver, &["ring-size"]), set);
    assert!(
        told(&driver, &["get-stats"]).contains("Ring buffer of this reader  64.0 KiB"),
        "it has that size"
    );
    driver.set_ring_size(None);
}

#[test]
fn settings_that_do_not_exist_are_refused_as_on_linux() {
    let Some(driver) = driver() else { return };
    for (arguments, words) in [
        (["log-level", "loud"], "log levels are a mask from 0 to 0x1f, or names separated by commas"),
        (["log-level", "0x20"], "log levels are a mask from 0 to 0x1f, or names separated by commas"),
        (["ring-size", "1023"], "must be 1024 to 131072 bytes"),
        (["ring-size", "131073"], "must be 1024 to 131072 bytes"),
    ] {
        let ended = driver.run_honeutil(&arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}

#[test]
fn settings_need_the_driver() {
    let Some(mut driver) = driver() else { return };
    assert!(driver.stop(), "no reader is attached");
    let message = "honeutil: the driver does not run: `honeutil start` starts it once `honeutil install` has installed it\n";
    for arguments in [&["log-level"][..], &["log-level", "all"], &["ring-size"], &["ring-size", "2048"]] {
        driver.run_honeutil(arguments).failed(message);
    }
}
