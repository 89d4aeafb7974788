<?= "Bob's" === 'Bob\'s' ? "quirk" : "" ?>

