// SPDX-License-Identifier: MIT OR Apache-2.0
// First programs: one that prints as it goes, a line in the languages that people try first.

export const SAMPLES = {
  python: 'import time\n\nfor number in range(1, 6):\n    print("step", number)\n    time.sleep(0.3)\n',
  bash: 'for number in 1 2 3 4 5; do\n  echo "step $number"\n  sleep 0.3\ndone\n',
  c: '#include <stdio.h>\n\nint main(void) {\n    printf("hello\\n");\n}\n',
  cpp: '#include <iostream>\n\nint main() {\n    std::cout << "hello\\n";\n}\n',
  go: 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hello")\n}\n',
  haskell: 'main :: IO ()\nmain = putStrLn "hello"\n',
  java: 'public class Main {\n    public static void main(String[] args) {\n        System.out.println("hello");\n    }\n}\n',
  javascript: 'console.log("hello");\n',
  lua: 'print("hello")\n',
  perl: 'print "hello\\n";\n',
  php: '<?php\necho "hello\\n";\n',
  r: 'cat("hello\\n")\n',
  ruby: 'puts "hello"\n',
  rust: 'fn main() {\n    println!("hello");\n}\n',
  typescript: 'const word: string = "hello";\nconsole.log(word);\n',
};
