static const char PART[] = "several";
