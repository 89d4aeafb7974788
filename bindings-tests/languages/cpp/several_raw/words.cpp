const char *words() { return R"xy(
several)xy" + 0; }
const char *other = R"( )xy" int main() { )";
