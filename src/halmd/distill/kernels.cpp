// The dear parts of a scalar MACE, and their derivatives, in loops that stay in registers.
// loops.py compiles this together with what it generates: the spherical harmonics and their
// gradient, and the symmetric contraction.
//
// Channels come in blocks of as many as a register holds. Edges lie in a table of `width` places for every atom; those not
// shorter than the cutoff are empty.

#include <cmath>
#include <vector>

#ifdef __AVX512F__
static const long W = 16;
#else
static const long W = 8;
#endif
typedef float V __attribute__((vector_size(4 * W), aligned(4)));
static inline V ld(const float* p) { return *(const V*)p; }
static inline void st(float* p, V v) { *(V*)p = v; }
static inline void add(float* p, V v) { st(p, ld(p) + v); }
static inline float sum(V v) {
  float s = 0;
  for (int k = 0; k < W; ++k) s += v[k];
  return s;
}

// Of a unit vector n; gy are the gradients of all sixteen, and gn gets those of n.
static inline void harmonics(const float* n, float* y);
static inline void harmonics_back(const float* n, const float* gy, float* gn);

static const int L_OF[16] = {0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3};

struct Edge {
  long to;       // the neighbour
  long place;    // in the table of edges
  long knot;
  float r, n[3], y[16];
  float h[4], dh[4];  // Hermite: value and slope at both ends; and their derivatives
};

// A table of radial weights: for every knot the values, then the slopes times the step.
struct Table {
  const float* at;
  long knots, row;  // row: 4 * channels
  float first, step;
};

static void edges_of(long n, long width, const float* vectors, const long* neighbours, float cutoff,
                     const Table& table, std::vector<Edge>& found) {
  found.clear();
  for (long k = 0; k < width; ++k) {
    const long place = n * width + k;
    const float* v = vectors + 3 * place;
    const float r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    if (!(r < cutoff)) continue;
    Edge e;
    e.to = neighbours[place];
    e.place = place;
    e.r = r;
    for (int a = 0; a < 3; ++a) e.n[a] = v[a] / r;
    harmonics(e.n, e.y);
    const float s = (r - table.first) / table.step;
    // Nearer than the first knot weights stay what they are there.
    const bool inside = s > 0;
    const long knot = inside ? (long)s : 0;
    const float t = inside ? s - knot : 0, t2 = t * t, t3 = t2 * t, d = inside ? 1 / table.step : 0;
    e.knot = knot;
    e.h[0] = 2 * t3 - 3 * t2 + 1; e.h[1] = t3 - 2 * t2 + t;
    e.h[2] = 3 * t2 - 2 * t3;     e.h[3] = t3 - t2;
    e.dh[0] = (6 * t2 - 6 * t) * d; e.dh[1] = (3 * t2 - 4 * t + 1) * d;
    e.dh[2] = (6 * t - 6 * t2) * d; e.dh[3] = (3 * t2 - 2 * t) * d;
    found.push_back(e);
  }
}

static inline V spline(const float* f, long row, const float* h) {
  return h[0] * ld(f) + h[1] * ld(f + row) + h[2] * ld(f + 2 * row) + h[3] * ld(f + 3 * row);
}

// Gradients of the edge vectors, from those of the harmonics and of the length, lane by lane.
static void vectors_back(const std::vector<Edge>& edges, const float* lane, float* g_vectors) {
  for (const Edge& e : edges) {
    float gy[16], gn[3] = {0, 0, 0};
    for (int k = 0; k < 16; ++k) gy[k] = sum(ld(lane + W * k));
    const float gr = sum(ld(lane + W * 16));
    lane += 17 * W;
    harmonics_back(e.n, gy, gn);
    const float along = gn[0] * e.n[0] + gn[1] * e.n[1] + gn[2] * e.n[2];
    for (int a = 0; a < 3; ++a)
      g_vectors[3 * e.place + a] += (gn[a] - along * e.n[a]) / e.r + gr * e.n[a];
  }
}

// out[n, lm, u] = sum over edges of w_l,u(r) Y_lm features[to, u]
extern "C" void sum_edges(long atoms, long width, long channels, const float* vectors,
                          const long* neighbours, const float* features, const float* at, long knots,
                          float first, float step, float cutoff, float* out) {
  const Table table = {at, knots, 4 * channels, first, step};
  std::vector<Edge> edges;
  for (long n = 0; n < atoms; ++n) {
    edges_of(n, width, vectors, neighbours, cutoff, table, edges);
    for (long u = 0; u < channels; u += W) {
      V acc[16] = {};
      for (const Edge& e : edges) {
        const float* f = at + e.knot * 2 * table.row + u;
        const V x = ld(features + e.to * channels + u);
        V w[4];
        for (int l = 0; l < 4; ++l) w[l] = x * spline(f + l * channels, table.row, e.h);
        for (int k = 0; k < 16; ++k) acc[k] += e.y[k] * w[L_OF[k]];
      }
      for (int k = 0; k < 16; ++k) st(out + (n * 16 + k) * channels + u, acc[k]);
    }
  }
}

// Gradients of features, and of the vectors or of the table (those that are not null).
extern "C" void sum_edges_back(long atoms, long width, long channels, const float* vectors,
                               const long* neighbours, const float* features, const float* at,
                               long knots, float first, float step, float cutoff, const float* g_out,
                               float* g_features, float* g_vectors, float* g_table) {
  const Table table = {at, knots, 4 * channels, first, step};
  std::vector<Edge> edges;
  std::vector<float> lanes;
  for (long n = 0; n < atoms; ++n) {
    edges_of(n, width, vectors, neighbours, cutoff, table, edges);
    if (g_vectors) lanes.assign(edges.size() * 17 * W, 0.0f);
    for (long u = 0; u < channels; u += W) {
      V g[16];
      for (int k = 0; k < 16; ++k) g[k] = ld(g_out + (n * 16 + k) * channels + u);
      float* lane = lanes.data();
      for (const Edge& e : edges) {
        const float* f = at + e.knot * 2 * table.row + u;
        const V x = ld(features + e.to * channels + u);
        V q[4] = {};
        for (int k = 0; k < 16; ++k) q[L_OF[k]] += e.y[k] * g[k];
        V w[4], gx = {};
        for (int l = 0; l < 4; ++l) {
          w[l] = spline(f + l * channels, table.row, e.h);
          gx += w[l] * q[l];
        }
        add(g_features + e.to * channels + u, gx);
        if (g_table) {
          float* gt = g_table + e.knot * 2 * table.row + u;
          for (int l = 0; l < 4; ++l) {
            const V gw = x * q[l];
            for (int c = 0; c < 4; ++c) add(gt + c * table.row + l * channels, e.h[c] * gw);
          }
        }
        if (g_vectors) {
          V slope = {};
          for (int l = 0; l < 4; ++l) {
            slope += x * q[l] * spline(f + l * channels, table.row, e.dh);
            w[l] *= x;
          }
          for (int k = 0; k < 16; ++k) add(lane + W * k, w[L_OF[k]] * g[k]);
          add(lane + W * 16, slope);
          lane += 17 * W;
        }
      }
    }
    if (g_vectors) vectors_back(edges, lanes.data(), g_vectors);
  }
}

// Offsets of the rows of x, shape (atoms, orders^2, channels), that one species and order have.
static void rows_of(long atoms, long channels, long orders, const long* species, long s, long l,
                    std::vector<long>& rows) {
  rows.clear();
  for (long n = 0; n < atoms; ++n)
    if (species[n] == s)
      for (long m = l * l; m < (l + 1) * (l + 1); ++m)
        rows.push_back((n * orders * orders + m) * channels);
}

static long kinds_of(long atoms, const long* species) {
  long most = -1;
  for (long n = 0; n < atoms; ++n) most = species[n] > most ? species[n] : most;
  return most + 1;
}

template <int R>
static inline void times(const float* x, const float* w, long channels, const long* rows,
                         float* out) {
  for (long u = 0; u < channels; u += W) {
    V acc[R] = {};
    for (long i = 0; i < channels; ++i) {
      const V row = ld(w + i * channels + u);
      for (int r = 0; r < R; ++r) acc[r] += x[rows[r] + i] * row;
    }
    for (int r = 0; r < R; ++r) st(out + rows[r] + u, acc[r]);
  }
}

// out[n, m, :] = x[n, m, :] weight[species[n], l(m), :, :], with components m of `orders` orders l.
extern "C" void of_species(long atoms, long channels, long orders, const float* x,
                           const float* weight, const long* species, float* out) {
  std::vector<long> rows;
  const long kinds = kinds_of(atoms, species);
  for (long s = 0; s < kinds; ++s)
    for (long l = 0; l < orders; ++l) {
      rows_of(atoms, channels, orders, species, s, l, rows);
      const float* w = weight + (s * orders + l) * channels * channels;
      size_t r = 0;
      for (; r + 8 <= rows.size(); r += 8) times<8>(x, w, channels, &rows[r], out);
      for (; r < rows.size(); ++r) times<1>(x, w, channels, &rows[r], out);
    }
}

// g_weight[species[n], l, i, o] = sum over n and m of x[n, m, i] g[n, m, o]
extern "C" void of_species_back(long atoms, long channels, long orders, const float* x,
                                const long* species, const float* g, float* g_weight) {
  std::vector<long> rows;
  const long kinds = kinds_of(atoms, species);
  for (long s = 0; s < kinds; ++s)
    for (long l = 0; l < orders; ++l) {
      rows_of(atoms, channels, orders, species, s, l, rows);
      float* gw = g_weight + (s * orders + l) * channels * channels;
      for (long i = 0; i < channels; i += 8)
        for (long u = 0; u < channels; u += W) {
          V acc[8] = {};
          for (const long row : rows) {
            const V gu = ld(g + row + u);
            for (int k = 0; k < 8; ++k) acc[k] += x[row + i + k] * gu;
          }
          for (int k = 0; k < 8; ++k) st(gw + (i + k) * channels + u, acc[k]);
        }
    }
}
