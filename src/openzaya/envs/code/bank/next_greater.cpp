#include <bits/stdc++.h>
using namespace std;

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    vector<long long> answer(n, -1);
    vector<int> open;
    for (int i = 0; i < n; i++) {
        while (!open.empty() && a[open.back()] < a[i]) {
            answer[open.back()] = a[i];
            open.pop_back();
        }
        open.push_back(i);
    }
    for (int i = 0; i < n; i++) cout << (i ? " " : "") << answer[i];
    cout << "\n";
}
