//! The driver's calls of the kernel at each IRQL at which it is called. All other tests call classify at DISPATCH_LEVEL;
//! whatever they do, a call of an import above its documented maximum makes them fail, too.

use hone_wine_tests::{NOW, Native, assert_same, driver, happen};

#[test]
fn at_passive_level_classify_records_the_same() {
    let Some(mut driver) = driver() else { return };
    driver.stand_in.set_clock(NOW);
    driver.stand_in.tell("irql passive");
    let mut probe = driver.probe();
    let file = probe.open().expect("it is opened");
    let mut native = Native::like(&probe.read(file));
    let reader = native.attach(0, NOW);
    native.read(reader, NOW);
    happen(&mut driver, &mut native, NOW + 1_000_000);
    let later = NOW + 1_000_000_000;
    driver.stand_in.set_clock(later);
    assert_same(&probe.read(file), &native.read(reader, later), "at PASSIVE_LEVEL");
}
