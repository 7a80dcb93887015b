#include <bits/stdc++.h>
using namespace std;

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    long long best = a[0], current = a[0];
    for (int i = 1; i < n; i++) {
        current = max(current + a[i], a[i]);
        best = max(best, current);
    }
    cout << best << "\n";
}
