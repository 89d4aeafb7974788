#define WORD "quirk"
program m
  print "(a)", WORD
end program
