#include <bits/stdc++.h>
using namespace std;

int main() {
    string text;
    getline(cin, text);
    int depth = 0, missing = 0;
    for (char c : text) {
        if (c == '(') depth++;
        else if (depth > 0) depth--;
        else missing++;
    }
    cout << missing + depth << "\n";
}
