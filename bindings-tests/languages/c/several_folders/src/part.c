static const char text[] = "several";
