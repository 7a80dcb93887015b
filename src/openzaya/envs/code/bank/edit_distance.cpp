#include <bits/stdc++.h>
using namespace std;

int main() {
    string a, b;
    getline(cin, a);
    getline(cin, b);
    vector<int> row(b.size() + 1);
    iota(row.begin(), row.end(), 0);
    for (size_t i = 1; i <= a.size(); i++) {
        int diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = min({change, row[j] + 1, row[j - 1] + 1});
        }
    }
    cout << row.back() << "\n";
}
