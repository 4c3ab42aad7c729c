/*
 * Searching a string in a string in time linear in both, without memory of its
 * own. Included in quickjs.c in place of its quadratic loops, which nothing
 * interrupts.
 *
 * A search begins the plain way and goes over to the Two-Way algorithm (M.
 * Crochemore, D. Perrin, "Two-way string-matching", 1991) once it compared much
 * more than it advanced. Searching backwards is searching forwards in both
 * strings read from their ends.
 */

typedef struct {
    JSString *text, *needle;
    int n, m;
    bool backwards;
} HullSearch;

static inline int hull_text_at(const HullSearch *s, int i)
{
    return string_get(s->text, s->backwards ? s->n - 1 - i : i);
}

static inline int hull_needle_at(const HullSearch *s, int i)
{
    return string_get(s->needle, s->backwards ? s->m - 1 - i : i);
}

/* The start of the greatest suffix of the needle, minus one, by the order of
   code units or the reverse order, and its period. */
static int hull_maximal_suffix(const HullSearch *s, bool reversed, int *period)
{
    int start = -1, j = 0, k = 1, p = 1, a, b;

    while (j + k < s->m) {
        a = hull_needle_at(s, j + k);
        b = hull_needle_at(s, start + k);
        if (reversed ? a > b : a < b) {
            j += k;
            k = 1;
            p = j - start;
        } else if (a == b) {
            if (k != p) {
                k++;
            } else {
                j += p;
                k = 1;
            }
        } else {
            start = j;
            j = start + 1;
            k = p = 1;
        }
    }
    *period = p;
    return start;
}

static int hull_two_way(const HullSearch *s, int from)
{
    int n = s->n, m = s->m, split, period, other, other_period, i, j, memory;
    bool periodic = true;

    split = hull_maximal_suffix(s, false, &period);
    other = hull_maximal_suffix(s, true, &other_period);
    if (other > split) {
        split = other;
        period = other_period;
    }
    for (i = 0; periodic && i <= split; i++)
        periodic = i + period < m && hull_needle_at(s, i) == hull_needle_at(s, i + period);
    if (!periodic)
        period = max_int(split + 1, m - split - 1) + 1;
    /* `memory`: so much of the needle is known to match at j, minus one */
    memory = -1;
    for (j = from; j <= n - m;) {
        i = max_int(split, memory) + 1;
        while (i < m && hull_needle_at(s, i) == hull_text_at(s, i + j))
            i++;
        if (i < m) {
            j += i - split;
            memory = -1;
            continue;
        }
        i = split;
        while (i > memory && hull_needle_at(s, i) == hull_text_at(s, i + j))
            i--;
        if (i <= memory)
            return j;
        j += period;
        memory = periodic ? m - period - 1 : -1;
    }
    return -1;
}

static int hull_search(const HullSearch *s, int from)
{
    int last = s->n - s->m, i, k, first;
    int64_t compared = 0;

    if (s->m == 0)
        return from <= last ? from : -1;
    first = hull_needle_at(s, 0);
    for (i = from; i <= last; i++) {
        if (!s->backwards) {
            i = string_indexof_char(s->text, first, i);
            if (i < 0 || i > last)
                return -1;
        }
        for (k = 0; k < s->m && hull_text_at(s, i + k) == hull_needle_at(s, k); k++)
            continue;
        if (k == s->m)
            return i;
        compared += k;
        if (compared > 2 * ((int64_t)s->m + (i - from)))
            return hull_two_way(s, i + 1);
    }
    return -1;
}

/* The first place at or after `from` (0 <= from <= length) where `needle`
   occurs in `text`, or -1. */
static int string_indexof(JSString *text, JSString *needle, int from)
{
    HullSearch s = { text, needle, text->len, needle->len, false };

    return hull_search(&s, from);
}

/* The last place at or before `from` where `needle` occurs in `text`, or -1. */
static int string_last_indexof(JSString *text, JSString *needle, int from)
{
    HullSearch s = { text, needle, text->len, needle->len, true };
    int at;

    from = min_int(from, s.n - s.m);
    if (from < 0)
        return -1;
    at = hull_search(&s, s.n - s.m - from);
    return at < 0 ? -1 : s.n - s.m - at;
}
