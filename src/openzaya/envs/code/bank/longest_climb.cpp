#include <bits/stdc++.h>
using namespace std;

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    vector<long long> ends;
    for (long long x : a) {
        auto place = lower_bound(ends.begin(), ends.end(), x);
        if (place == ends.end()) ends.push_back(x);
        else *place = x;
    }
    cout << ends.size() << "\n";
}
