#include <bits/stdc++.h>
using namespace std;

int main() {
    int height;
    cin >> height;
    vector<vector<long long>> best(height);
    for (int r = 0; r < height; r++) {
        int width;
        cin >> width;
        best[r].resize(width);
        for (int c = 0; c < width; c++) {
            cin >> best[r][c];
            if (r && c) best[r][c] += min(best[r - 1][c], best[r][c - 1]);
            else if (r) best[r][c] += best[r - 1][c];
            else if (c) best[r][c] += best[r][c - 1];
        }
    }
    cout << best.back().back() << "\n";
}
