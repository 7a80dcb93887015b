#include <bits/stdc++.h>
using namespace std;

long long sort_and_count(vector<long long> &a) {
    if (a.size() < 2) return 0;
    vector<long long> left(a.begin(), a.begin() + a.size() / 2), right(a.begin() + a.size() / 2, a.end());
    long long count = sort_and_count(left) + sort_and_count(right);
    size_t i = 0, j = 0, k = 0;
    while (k < a.size()) {
        if (j == right.size() || (i < left.size() && left[i] <= right[j])) {
            a[k++] = left[i++];
        } else {
            count += left.size() - i;
            a[k++] = right[j++];
        }
    }
    return count;
}

int main() {
    int n;
    cin >> n;
    vector<long long> a(n);
    for (auto &x : a) cin >> x;
    cout << sort_and_count(a) << "\n";
}
