#include <bits/stdc++.h>
using namespace std;

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    long long target;
    cin >> target;
    map<long long, long long> ways = {{0, 1}};
    for (long long x : a) {
        auto after = ways;
        for (auto [total, count] : ways) after[total + x] += count;
        ways = after;
    }
    cout << (ways.count(target) ? ways[target] : 0) << "\n";
}
