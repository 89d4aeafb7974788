void say () { stdout.printf ("several\n"); }
