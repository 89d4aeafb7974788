// SPDX-License-Identifier: MIT OR Apache-2.0
// Gives a program an input file, and takes back what it leaves in its directory "artifacts".
// c++ -std=c++17 files.cpp $(pkg-config --cflags --libs unsandbox) -o files && ./files DIRECTORY
#include <iostream>
#include <unsandbox.hpp>

static constexpr auto code = R"(
total = sum(int(line) for line in open('numbers.txt'))
import os; os.makedirs('artifacts', exist_ok=True)
open('artifacts/total.txt', 'w').write(f'{total}\n')
print('added up', total)
)";

int main(int argc, char **argv) try {
    unsandbox::Client client;
    auto result = client.execute(
        unsandbox::Request("python", code).input_file("numbers.txt", "1\n2\n39\n"));
    std::cout << result.out() << result.err();
    for (const auto &artifact : result.artifacts()) {
        artifact.save(argc > 1 ? argv[1] : ".");
        std::cout << "saved " << artifact.safe_filename() << ", " << artifact.content_view().size()
                  << " bytes\n";
    }
    return 0;
} catch (const unsandbox::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
