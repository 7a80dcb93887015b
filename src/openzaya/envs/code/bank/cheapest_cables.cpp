#include <bits/stdc++.h>
using namespace std;

vector<int> parent;

int root(int x) { return parent[x] == x ? x : parent[x] = root(parent[x]); }

int main() {
    int count, m;
    cin >> count >> m;
    vector<array<long long, 3>> offers(m);
    for (auto &[price, a, b] : offers) {
        int k;
        cin >> k >> a >> b >> price;
    }
    sort(offers.begin(), offers.end());
    parent.resize(count);
    iota(parent.begin(), parent.end(), 0);
    long long total = 0;
    int joined = 1;
    for (auto [price, a, b] : offers) {
        if (root(a) == root(b)) continue;
        parent[root(a)] = root(b);
        total += price;
        joined++;
    }
    cout << (joined == count ? total : -1) << "\n";
}
