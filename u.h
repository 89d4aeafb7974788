static int tw(int x) { return 2*x; }
