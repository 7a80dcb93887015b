#include <bits/stdc++.h>
using namespace std;

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    int amount;
    cin >> amount;
    vector<int> fewest(amount + 1, amount + 1);
    fewest[0] = 0;
    for (int total = 1; total <= amount; total++)
        for (long long coin : a)
            if (coin <= total) fewest[total] = min(fewest[total], fewest[total - coin] + 1);
    cout << (fewest[amount] <= amount ? fewest[amount] : -1) << "\n";
}
