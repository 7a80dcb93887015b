#include <bits/stdc++.h>
using namespace std;

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    int best = 0, run = 0;
    for (int i = 0; i < n; i++) {
        run = i > 0 && a[i - 1] == a[i] ? run + 1 : 1;
        best = max(best, run);
    }
    cout << best << "\n";
}
