#include <bits/stdc++.h>
using namespace std;

int main() {
    int count, m;
    cin >> count >> m;
    vector<vector<int>> against(count);
    for (int i = 0; i < m; i++) {
        int k, a, b;
        cin >> k >> a >> b;
        against[a].push_back(b);
        against[b].push_back(a);
    }
    vector<int> team(count, -1);
    bool possible = true;
    for (int start = 0; start < count; start++) {
        if (team[start] >= 0) continue;
        team[start] = 0;
        vector<int> waiting = {start};
        while (!waiting.empty()) {
            int player = waiting.back();
            waiting.pop_back();
            for (int rival : against[player]) {
                if (team[rival] < 0) {
                    team[rival] = 1 - team[player];
                    waiting.push_back(rival);
                } else if (team[rival] == team[player]) {
                    possible = false;
                }
            }
        }
    }
    cout << (possible ? "yes" : "no") << "\n";
}
