/*
 * Accessors for Hull's Rust side that need QuickJS's private structures.
 * Included at the end of quickjs.c. None of them runs user code unless its
 * comment says so.
 */

static uint32_t hull_string_length(JSValueConst v)
{
    switch (JS_VALUE_GET_TAG(v)) {
    case JS_TAG_STRING:
        return JS_VALUE_GET_STRING(v)->len;
    case JS_TAG_STRING_ROPE:
        return JS_VALUE_GET_STRING_ROPE(v)->len;
    default:
        return 0;
    }
}

/* The string data property 'prop' of 'obj' or of its prototypes, else undefined. */
static JSValue hull_plain_string_property(JSContext *ctx, JSValueConst obj, JSAtom prop)
{
    JSObject *p;
    JSProperty *pr;
    JSShapeProperty *prs;
    int depth;

    if (JS_VALUE_GET_TAG(obj) != JS_TAG_OBJECT)
        return JS_UNDEFINED;
    p = JS_VALUE_GET_OBJ(obj);
    for (depth = 0; p && depth < 32; depth++) {
        if (p->class_id == JS_CLASS_PROXY)
            return JS_UNDEFINED;
        prs = find_own_property(&pr, p, prop);
        if (prs) {
            if ((prs->flags & JS_PROP_TMASK) != JS_PROP_NORMAL)
                return JS_UNDEFINED;
            if (!JS_IsString(pr->u.value))
                return JS_UNDEFINED;
            return js_dup(pr->u.value);
        }
        p = p->shape->proto;
    }
    return JS_UNDEFINED;
}

/* "Name: message\n" of a genuine Error, undefined for anything else. Looks at
   plain data properties only and leaves no exception behind. */
static JSValue hull_error_header(JSContext *ctx, JSValueConst obj)
{
    JSValue name, message, ret;
    uint32_t name_len, message_len;

    if (JS_VALUE_GET_TAG(obj) != JS_TAG_OBJECT ||
        JS_VALUE_GET_OBJ(obj)->class_id != JS_CLASS_ERROR)
        return JS_UNDEFINED;
    name = hull_plain_string_property(ctx, obj, JS_ATOM_name);
    message = hull_plain_string_property(ctx, obj, JS_ATOM_message);
    if (JS_IsUndefined(name))
        name = JS_AtomToString(ctx, JS_ATOM_Error);
    name_len = hull_string_length(name);
    message_len = hull_string_length(message);
    if (message_len == 0) {
        JS_FreeValue(ctx, message);
        ret = JS_ConcatString3(ctx, "", name, "\n");
    } else if (name_len == 0) {
        JS_FreeValue(ctx, name);
        ret = JS_ConcatString3(ctx, "", message, "\n");
    } else {
        ret = JS_ConcatString3(ctx, "", name, ": ");
        ret = JS_ConcatString(ctx, ret, message);
        if (!JS_IsException(ret))
            ret = JS_ConcatString3(ctx, "", ret, "\n");
    }
    if (JS_IsException(ret)) {
        JS_FreeValue(ctx, JS_GetException(ctx));
        return JS_UNDEFINED;
    }
    return ret;
}

/* The frames part of the stack captured when a genuine Error was made,
   whatever has been assigned to its 'stack' since; undefined if there is none. */
JSValue hull_error_frames(JSContext *ctx, JSValueConst obj)
{
    JSObject *p;
    JSValue whole, ret;
    JSString *str;

    if (JS_VALUE_GET_TAG(obj) != JS_TAG_OBJECT)
        return JS_UNDEFINED;
    p = JS_VALUE_GET_OBJ(obj);
    if (p->class_id != JS_CLASS_ERROR || !JS_IsString(p->u.object_data))
        return JS_UNDEFINED;
    whole = JS_ToString(ctx, p->u.object_data);
    if (JS_IsException(whole))
        return whole;
    str = JS_VALUE_GET_STRING(whole);
    ret = js_sub_string(ctx, str, min_int(p->u.error.header_len, str->len), str->len);
    JS_FreeValue(ctx, whole);
    return ret;
}

/* Where a bytecode function begins. Returns false for anything else. The
   file name is written as an atom the caller must free. */
bool hull_function_position(JSContext *ctx, JSValueConst func, JSAtom *file, int *line, int *col)
{
    JSObject *p;
    JSFunctionBytecode *b;

    if (JS_VALUE_GET_TAG(func) != JS_TAG_OBJECT)
        return false;
    p = JS_VALUE_GET_OBJ(func);
    if (!js_class_has_bytecode(p->class_id))
        return false;
    b = p->u.func.function_bytecode;
    if (b->filename == JS_ATOM_NULL)
        return false;
    *file = JS_DupAtom(ctx, b->filename);
    *line = b->line_num;
    *col = b->col_num;
    return true;
}

JSValue hull_get_async_context(JSContext *ctx)
{
    return js_dup(ctx->hull_async_context);
}

void hull_set_async_context(JSContext *ctx, JSValue value)
{
    set_value(ctx, &ctx->hull_async_context, value);
}

/* ------- values ------- */

/* Mirrored by the Rust enum `Kind`. */
enum {
    HULL_UNDEFINED, HULL_NULL, HULL_BOOL, HULL_INT, HULL_FLOAT, HULL_STRING,
    HULL_BIGINT, HULL_ARRAY, HULL_PLAIN_OBJECT, HULL_ARRAY_BUFFER, HULL_OTHER,
};

/* A "plain" object is one whose conversion can't be observed: an ordinary
   object with the realm's Object.prototype or no prototype, all of whose
   enumerable properties are data properties. A "plain" array is a dense one
   without changed prototype. */
int hull_kind(JSContext *ctx, JSValueConst v)
{
    JSObject *p;
    JSShapeProperty *prs;
    int i;

    switch (JS_VALUE_GET_NORM_TAG(v)) {
    case JS_TAG_UNDEFINED: return HULL_UNDEFINED;
    case JS_TAG_NULL: return HULL_NULL;
    case JS_TAG_BOOL: return HULL_BOOL;
    case JS_TAG_INT: return HULL_INT;
    case JS_TAG_FLOAT64: return HULL_FLOAT;
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE: return HULL_STRING;
    case JS_TAG_SHORT_BIG_INT:
    case JS_TAG_BIG_INT: return HULL_BIGINT;
    case JS_TAG_OBJECT: break;
    default: return HULL_OTHER;
    }
    p = JS_VALUE_GET_OBJ(v);
    switch (p->class_id) {
    case JS_CLASS_ARRAY:
        if (p->fast_array && p->shape->proto == JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_ARRAY]) &&
            p->shape->prop_count == 1 &&
            JS_VALUE_GET_TAG(p->prop[0].u.value) == JS_TAG_INT &&
            (uint32_t)JS_VALUE_GET_INT(p->prop[0].u.value) == p->u.array.count)
            return HULL_ARRAY;
        return HULL_OTHER;
    case JS_CLASS_OBJECT:
        if (p->shape->proto && p->shape->proto != JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_OBJECT]))
            return HULL_OTHER;
        if (p->is_exotic)
            return HULL_OTHER;
        prs = get_shape_prop(p->shape);
        for (i = 0; i < p->shape->prop_count; i++, prs++) {
            if (prs->atom != JS_ATOM_NULL && (prs->flags & JS_PROP_TMASK) != JS_PROP_NORMAL)
                return HULL_OTHER;
        }
        return HULL_PLAIN_OBJECT;
    case JS_CLASS_ARRAY_BUFFER:
        if (p->shape->proto != JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_ARRAY_BUFFER]))
            return HULL_OTHER;
        return HULL_ARRAY_BUFFER;
    default:
        return HULL_OTHER;
    }
}

/* Elements of a value of kind HULL_ARRAY, borrowed. */
const JSValue *hull_array_elements(JSValueConst v, uint32_t *count)
{
    JSObject *p = JS_VALUE_GET_OBJ(v);
    *count = p->u.array.count;
    return p->u.array.u.values;
}

/* Number of property slots of a value of kind HULL_PLAIN_OBJECT. */
uint32_t hull_object_slots(JSValueConst v)
{
    return JS_VALUE_GET_OBJ(v)->shape->prop_count;
}

/* The enumerable string-keyed property in slot 'i', borrowed. Returns false
   for a slot that Object.entries would not list. */
bool hull_object_slot(JSContext *ctx, JSValueConst v, uint32_t i, JSAtom *key, JSValue *value)
{
    JSObject *p = JS_VALUE_GET_OBJ(v);
    JSShapeProperty *prs = get_shape_prop(p->shape) + i;

    if (prs->atom == JS_ATOM_NULL || !(prs->flags & JS_PROP_ENUMERABLE))
        return false;
    if (!__JS_AtomIsTaggedInt(prs->atom) &&
        ctx->rt->atom_array[prs->atom]->atom_type != JS_ATOM_TYPE_STRING)
        return false;
    *key = prs->atom;
    *value = p->prop[i].u.value;
    return true;
}

/* Characters of an atom, borrowed; NULL for an integer atom. */
const void *hull_atom_chars(JSContext *ctx, JSAtom atom, uint32_t *len, int *is_wide)
{
    JSAtomStruct *p;

    if (__JS_AtomIsTaggedInt(atom))
        return NULL;
    p = ctx->rt->atom_array[atom];
    *len = p->len;
    *is_wide = p->is_wide_char;
    return p->is_wide_char ? (const void *)str16(p) : (const void *)str8(p);
}

uint32_t hull_atom_int(JSAtom atom)
{
    return __JS_AtomToUInt32(atom);
}

/* Characters of a string, borrowed from 'v'; NULL when memory ran out (with
   an exception pending). */
const void *hull_string_chars(JSContext *ctx, JSValueConst v, uint32_t *len, int *is_wide)
{
    JSString *p;

    if (JS_VALUE_GET_TAG(v) == JS_TAG_STRING_ROPE) {
        /* With a second reference linearising updates the rope in place, so
           the characters live as long as 'v' does. */
        JSValue held = js_dup(v);
        JSValue flat = js_linearize_string_rope(ctx, v);
        JS_FreeValue(ctx, held);
        if (JS_IsException(flat))
            return NULL;
        p = JS_VALUE_GET_STRING(flat);
        JS_FreeValue(ctx, flat);
    } else {
        p = JS_VALUE_GET_STRING(v);
    }
    *len = p->len;
    *is_wide = p->is_wide_char;
    return p->is_wide_char ? (const void *)str16(p) : (const void *)str8(p);
}

/* True and the value if a bigint fits into 64 bits. */
bool hull_bigint_to_i64(JSValueConst v, int64_t *out)
{
    if (JS_VALUE_GET_TAG(v) == JS_TAG_SHORT_BIG_INT) {
        *out = JS_VALUE_GET_SHORT_BIG_INT(v);
        return true;
    } else {
        JSBigInt *p = JS_VALUE_GET_PTR(v);
#if JS_LIMB_BITS == 64
        if (p->len == 1) {
            *out = (int64_t)p->tab[0];
            return true;
        }
#else
        if (p->len == 1) {
            *out = (int32_t)p->tab[0];
            return true;
        }
        if (p->len == 2) {
            *out = (int64_t)(((uint64_t)p->tab[1] << 32) | p->tab[0]);
            return true;
        }
#endif
        return false;
    }
}

/* ------- building objects ------- */

/* The shape of a plain object if every property is an ordinary own data
   property and there are exactly 'count', so that more objects with the same
   keys can be made from it; NULL otherwise. The caller owns a reference. */
JSShape *hull_shape_of(JSValueConst v, uint32_t count)
{
    JSObject *p = JS_VALUE_GET_OBJ(v);
    JSShape *sh = p->shape;
    JSShapeProperty *prs;
    uint32_t i;

    if (p->class_id != JS_CLASS_OBJECT || !sh->is_hashed ||
        sh->prop_count != (int)count || sh->deleted_prop_count != 0)
        return NULL;
    prs = get_shape_prop(sh);
    for (i = 0; i < count; i++) {
        if (prs[i].flags != JS_PROP_C_W_E)
            return NULL;
    }
    return js_dup_shape(sh);
}

void hull_free_shape(JSContext *ctx, JSShape *sh)
{
    js_free_shape(ctx->rt, sh);
}

/* A new plain object of that shape; takes the values, in the order of the
   shape's properties. */
JSValue hull_object_from_shape(JSContext *ctx, JSShape *sh, const JSValue *values)
{
    return JS_NewObjectFromShape(ctx, js_dup_shape(sh), JS_CLASS_OBJECT, (JSProperty *)values);
}
_Static_assert(sizeof(JSProperty) == sizeof(JSValue), "a property slot is one value");

/* An Error of one of the classes below with 'message' (taken), whose stack
   says where the running function is. Kinds mirror the Rust enum `ErrorKind`. */
JSValue hull_new_error(JSContext *ctx, int kind, JSValue message)
{
    static const int classes[] = {
        JS_PLAIN_ERROR, JS_TYPE_ERROR, JS_RANGE_ERROR, JS_SYNTAX_ERROR,
    };
    JSErrorEnum num = classes[kind];
    JSValue obj;

    if (num == JS_PLAIN_ERROR)
        obj = JS_NewObjectClass(ctx, JS_CLASS_ERROR);
    else
        obj = JS_NewObjectProtoClass(ctx, ctx->native_error_proto[num], JS_CLASS_ERROR);
    if (JS_IsException(obj)) {
        JS_FreeValue(ctx, message);
        return obj;
    }
    JS_DefinePropertyValue(ctx, obj, JS_ATOM_message, message,
                           JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    build_backtrace(ctx, obj, JS_UNDEFINED, NULL, 0, 0, 0);
    return obj;
}

/* Bytes of an ArrayBuffer or of the window of any view on one, borrowed until
   JavaScript runs; NULL for anything else. Detached and out-of-bounds views
   are empty. */
const uint8_t *hull_bytes(JSValueConst v, size_t *len)
{
    static const uint8_t empty[1];
    JSObject *p;
    JSTypedArray *ta;
    JSArrayBuffer *abuf;
    size_t start, count;

    *len = 0;
    if (JS_VALUE_GET_TAG(v) != JS_TAG_OBJECT)
        return NULL;
    p = JS_VALUE_GET_OBJ(v);
    if (p->class_id == JS_CLASS_ARRAY_BUFFER || p->class_id == JS_CLASS_SHARED_ARRAY_BUFFER) {
        abuf = p->u.array_buffer;
        start = 0;
        count = abuf->byte_length;
    } else if (p->class_id >= JS_CLASS_UINT8C_ARRAY && p->class_id <= JS_CLASS_DATAVIEW) {
        ta = p->u.typed_array;
        abuf = ta->buffer->u.array_buffer;
        start = ta->offset;
        if (start > abuf->byte_length)
            return empty;
        count = ta->track_rab ? abuf->byte_length - start : ta->length;
        if (start + count > abuf->byte_length)
            return empty;
    } else {
        return NULL;
    }
    if (abuf->detached || !abuf->data || count == 0)
        return empty;
    *len = count;
    return abuf->data + start;
}

/* Whether a prototype of plain values has a toJSON, which would change what
   JSON.stringify writes. */
bool hull_has_to_json(JSContext *ctx)
{
    static const int classes[] = {
        JS_CLASS_OBJECT, JS_CLASS_ARRAY, JS_CLASS_STRING, JS_CLASS_NUMBER, JS_CLASS_BOOLEAN,
    };
    JSProperty *pr;
    size_t i;

    for (i = 0; i < countof(classes); i++) {
        if (find_own_property(&pr, JS_VALUE_GET_OBJ(ctx->class_proto[classes[i]]), JS_ATOM_toJSON))
            return true;
    }
    return false;
}

/* ------- naming the expression behind a TypeError ------- */

#define HULL_NAME_MAX 96
#define HULL_JUMPS_MAX 32

typedef struct HullName {
    char text[HULL_NAME_MAX];
} HullName;

/* Names of the operands at one point of the code, bottom first. */
typedef struct HullNames {
    HullName *slots;
    int depth, capacity;
} HullNames;

/* A forward jump met on the way: at its target the stack is as deep as here. */
typedef struct HullJump {
    uint32_t target;
    int depth;
} HullJump;

static void hull_push(HullNames *s, const char *text)
{
    if (s->depth < s->capacity)
        snprintf(s->slots[s->depth].text, HULL_NAME_MAX, "%s", text);
    s->depth++;
}

static const char *hull_peek(const HullNames *s, int below)
{
    int at = s->depth - 1 - below;
    return at >= 0 && at < s->capacity ? s->slots[at].text : "(intermediate value)";
}

static void hull_drop(HullNames *s, int count)
{
    s->depth = max_int(s->depth - count, 0);
}

static void hull_push_atom(JSContext *ctx, HullNames *s, const char *prefix, JSAtom atom)
{
    char name[64], text[HULL_NAME_MAX];

    JS_AtomGetStr(ctx, name, sizeof(name), atom);
    snprintf(text, sizeof(text), "%s%s", prefix, name);
    hull_push(s, name[0] == '<' ? "(intermediate value)" : text);
}

static void hull_push_variable(JSContext *ctx, HullNames *s, JSFunctionBytecode *b, int fmt, int idx)
{
    JSAtom atom = JS_ATOM_NULL;

    if (fmt == OP_FMT_arg && idx < b->arg_count)
        atom = b->vardefs[idx].var_name;
    else if (fmt == OP_FMT_loc && idx < b->var_count)
        atom = b->vardefs[b->arg_count + idx].var_name;
    else if (fmt == OP_FMT_var_ref && idx < b->closure_var_count)
        atom = b->closure_var[idx].var_name;
    if (atom == JS_ATOM_NULL)
        hull_push(s, "(intermediate value)");
    else
        hull_push_atom(ctx, s, "", atom);
}

/* Applies one instruction to the names. */
static void hull_step(JSContext *ctx, HullNames *s, JSFunctionBytecode *b, const uint8_t *pc)
{
    const JSOpCode *oi = &short_opcode_info(*pc);
    char text[HULL_NAME_MAX];
    int i, argc, op = *pc;

    switch (op) {
    case OP_get_loc: case OP_get_loc_check:
        hull_push_variable(ctx, s, b, OP_FMT_loc, get_u16(pc + 1));
        return;
    case OP_get_loc8:
        hull_push_variable(ctx, s, b, OP_FMT_loc, pc[1]);
        return;
    case OP_get_loc0: case OP_get_loc1: case OP_get_loc2: case OP_get_loc3:
        hull_push_variable(ctx, s, b, OP_FMT_loc, op - OP_get_loc0);
        return;
    case OP_get_loc0_loc1:
        hull_push_variable(ctx, s, b, OP_FMT_loc, 0);
        hull_push_variable(ctx, s, b, OP_FMT_loc, 1);
        return;
    case OP_get_arg:
        hull_push_variable(ctx, s, b, OP_FMT_arg, get_u16(pc + 1));
        return;
    case OP_get_arg0: case OP_get_arg1: case OP_get_arg2: case OP_get_arg3:
        hull_push_variable(ctx, s, b, OP_FMT_arg, op - OP_get_arg0);
        return;
    case OP_get_var_ref: case OP_get_var_ref_check:
        hull_push_variable(ctx, s, b, OP_FMT_var_ref, get_u16(pc + 1));
        return;
    case OP_get_var_ref0: case OP_get_var_ref1: case OP_get_var_ref2: case OP_get_var_ref3:
        hull_push_variable(ctx, s, b, OP_FMT_var_ref, op - OP_get_var_ref0);
        return;
    case OP_get_var: case OP_get_var_undef:
        hull_push_atom(ctx, s, "", get_u32(pc + 1));
        return;
    case OP_push_this:
        hull_push(s, "this");
        return;
    case OP_null:
        hull_push(s, "null");
        return;
    case OP_get_field: case OP_get_field2:
        snprintf(text, sizeof(text), "%s.", hull_peek(s, 0));
        if (op == OP_get_field)
            hull_drop(s, 1);
        hull_push_atom(ctx, s, text, get_u32(pc + 1));
        return;
    case OP_dup:
        snprintf(text, sizeof(text), "%s", hull_peek(s, 0));
        hull_push(s, text);
        return;
    case OP_await: case OP_to_object: case OP_to_propkey: case OP_check_object: case OP_set_name:
        return;
    case OP_call0: case OP_call1: case OP_call2: case OP_call3:
    case OP_call: case OP_call_method: case OP_call_constructor:
        argc = op >= OP_call0 && op <= OP_call3 ? op - OP_call0 : get_u16(pc + 1);
        if (op == OP_call_constructor)
            snprintf(text, sizeof(text), "(intermediate value)");
        else
            snprintf(text, sizeof(text), "%.*s(...)", HULL_NAME_MAX - 6, hull_peek(s, argc));
        hull_drop(s, argc + oi->n_pop);
        hull_push(s, text);
        return;
    default:
        argc = oi->fmt == OP_FMT_npop || oi->fmt == OP_FMT_npop_u16 ? get_u16(pc + 1) : 0;
        hull_drop(s, oi->n_pop + argc);
        for (i = 0; i < oi->n_push; i++)
            hull_push(s, "(intermediate value)");
    }
}

/* Where a conditional or unconditional jump goes; 0 if it is none. */
static uint32_t hull_jump_target(const uint8_t *pc, uint32_t pos)
{
    switch (*pc) {
    case OP_if_false: case OP_if_true: case OP_goto:
        return pos + 1 + get_u32(pc + 1);
    case OP_if_false8: case OP_if_true8: case OP_goto8:
        return pos + 1 + (int8_t)pc[1];
    case OP_goto16:
        return pos + 1 + (int16_t)get_u16(pc + 1);
    default:
        return 0;
    }
}

/* Writes the source-like name of what the running instruction calls or
   iterates over, as V8 prints it. The code before the instruction is walked
   once, in order, following the names of operands; what can't be told is
   "(intermediate value)". Returns false outside of JavaScript code. */
static bool hull_operand_name(JSContext *ctx, char *out, size_t size)
{
    JSStackFrame *sf = ctx->rt->current_stack_frame;
    JSFunctionBytecode *b;
    JSObject *p;
    HullNames names;
    HullJump jumps[HULL_JUMPS_MAX];
    int jump_count = 0, i, below;
    uint32_t pos, end, target;
    bool found = false;

    if (!sf || !sf->cur_pc || JS_VALUE_GET_TAG(sf->cur_func) != JS_TAG_OBJECT)
        return false;
    p = JS_VALUE_GET_OBJ(sf->cur_func);
    if (!js_class_has_bytecode(p->class_id))
        return false;
    b = p->u.func.function_bytecode;
    end = sf->cur_pc - b->byte_code_buf;
    names.capacity = b->stack_size + 4;
    names.depth = 0;
    names.slots = js_malloc_rt(ctx->rt, names.capacity * sizeof(HullName));
    if (!names.slots)
        return false;
    for (pos = 0; pos < end && pos < (uint32_t)b->byte_code_len;) {
        const uint8_t *pc = b->byte_code_buf + pos;
        uint32_t next = pos + short_opcode_info(*pc).size;

        for (i = 0; i < jump_count; i++) {
            if (jumps[i].target == pos) {
                names.depth = jumps[i].depth;
                break;
            }
        }
        if (next >= end) {
            switch (*pc) {
            case OP_call0: case OP_call1: case OP_call2: case OP_call3:
                below = *pc - OP_call0;
                found = true;
                break;
            case OP_call: case OP_tail_call: case OP_call_method: case OP_tail_call_method:
                below = get_u16(pc + 1);
                found = true;
                break;
            case OP_for_of_start:
                below = 0;
                found = true;
                break;
            default:
                below = 0;
            }
            if (found)
                snprintf(out, size, "%s", hull_peek(&names, below));
            break;
        }
        hull_step(ctx, &names, b, pc);
        target = hull_jump_target(pc, pos);
        if (target > pos && jump_count < HULL_JUMPS_MAX) {
            jumps[jump_count].target = target;
            jumps[jump_count++].depth = names.depth;
        }
        pos = next;
    }
    js_free_rt(ctx->rt, names.slots);
    return found;
}
