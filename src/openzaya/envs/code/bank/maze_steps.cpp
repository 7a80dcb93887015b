#include <bits/stdc++.h>
using namespace std;

int main() {
    int height;
    cin >> height;
    vector<string> grid(height);
    for (auto &row : grid) cin >> row;
    int width = grid[0].size();
    vector<vector<int>> steps(height, vector<int>(width, -1));
    queue<pair<int, int>> waiting;
    if (grid[0][0] == '.') {
        steps[0][0] = 0;
        waiting.push({0, 0});
    }
    int dy[] = {1, -1, 0, 0}, dx[] = {0, 0, 1, -1};
    while (!waiting.empty()) {
        auto [r, c] = waiting.front();
        waiting.pop();
        for (int k = 0; k < 4; k++) {
            int y = r + dy[k], x = c + dx[k];
            if (y < 0 || x < 0 || y >= height || x >= width) continue;
            if (grid[y][x] == '#' || steps[y][x] >= 0) continue;
            steps[y][x] = steps[r][c] + 1;
            waiting.push({y, x});
        }
    }
    cout << steps[height - 1][width - 1] << "\n";
}
