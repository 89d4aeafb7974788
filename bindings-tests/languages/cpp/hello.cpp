#include <bits/stdc++.h>
using namespace std;

int main() {
    cout << "hello from cpp" << endl;
}
