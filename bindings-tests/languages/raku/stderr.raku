note "oops";
