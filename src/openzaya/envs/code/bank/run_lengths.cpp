#include <bits/stdc++.h>
using namespace std;

int main() {
    string text;
    getline(cin, text);
    for (size_t i = 0; i < text.size();) {
        size_t j = i;
        while (j < text.size() && text[j] == text[i]) j++;
        cout << text[i];
        if (j - i > 1) cout << j - i;
        i = j;
    }
    cout << "\n";
}
