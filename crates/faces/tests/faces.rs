//! Properties of the data set of drawn faces.

use ddpo_faces::{AgeClass, Face, draw_face, draw_face_of};

#[test]
fn face_depends_only_on_seed_and_index() {
    let (image, class) = draw_face(3, 14, 32);
    assert_eq!(draw_face(3, 14, 32), (image.clone(), class));
    assert_eq!(draw_face_of(3, 14, 32, class), image);
    assert_ne!(draw_face(3, 15, 32).0, image);
    assert_ne!(draw_face(4, 14, 32).0, image);
}

#[test]
fn draws_every_class_at_every_size() {
    for class in AgeClass::ALL {
        for size in [1, 7, 32, 33, 64, 100] {
            let image = draw_face_of(1, 2, size, class);
            assert_eq!((image.width(), image.height()), (size, size));
        }
    }
    assert_eq!(draw_face(1, 2, 0).0.width(), 1);
}

#[test]
fn years_are_within_the_class() {
    for class in AgeClass::ALL {
        for index in 0..200 {
            let years = Face::sample(5, index, class).years;
            let (low, high) = class.years();
            assert!((low..high).contains(&years), "{years} is not in {class}");
        }
    }
}

#[test]
fn age_lightens_hair_and_deepens_wrinkles() {
    let mean = |class, of: fn(&Face) -> f32| {
        (0..300).map(|index| of(&Face::sample(9, index, class))).sum::<f32>() / 300.0
    };
    let ages = [AgeClass::Twenties, AgeClass::Fifties, AgeClass::Seventies];
    let lightness = ages.map(|class| mean(class, |face| face.hair.luma()));
    let wrinkles = ages.map(|class| mean(class, |face| face.wrinkles));
    let recession = ages.map(|class| mean(class, |face| face.recession));
    for measure in [lightness, wrinkles, recession] {
        assert!(measure[0] < measure[1] && measure[1] < measure[2], "{measure:?}");
    }
    assert_eq!(wrinkles[0], 0.0);
}
