/* SPDX-License-Identifier: MIT OR Apache-2.0
 * unsandbox from Tcl, as a loadable extension of one command; Tcl itself cannot call C.
 * cc -shared -fPIC -DUSE_TCL_STUBS unsandboxtcl.c $(pkg-config --cflags --libs tcl unsandbox) -ltclstub8.6 */
#include <string.h>
#include <tcl.h>
#include <unsandbox.h>

/* The error becomes the result, and its code {UNSANDBOX CODE} the errorCode. */
static int failure(Tcl_Interp *interp, unsandbox_error *err) {
    Tcl_SetErrorCode(interp, "UNSANDBOX", unsandbox_error_name(err, NULL), NULL);
    Tcl_SetObjResult(interp, Tcl_NewStringObj(unsandbox_error_message(err, NULL), -1));
    unsandbox_error_free(err);
    return TCL_ERROR;
}

/* NAME METHOD JSON: calls a method with JSON and gives JSON. */
static int call(ClientData client, Tcl_Interp *interp, int count, Tcl_Obj *const words[]) {
    unsandbox_error *err = NULL;
    char *out = NULL;
    size_t out_len = 0;
    int method_len, json_len;
    if (count != 3) {
        Tcl_WrongNumArgs(interp, 1, words, "method json");
        return TCL_ERROR;
    }
    const char *method = Tcl_GetStringFromObj(words[1], &method_len);
    const char *json = Tcl_GetStringFromObj(words[2], &json_len);
    if (unsandbox_client_call_json(client, method, (size_t)method_len, json, (size_t)json_len, &out,
                                   &out_len, &err)
        != UNSANDBOX_OK)
        return failure(interp, err);
    /* Tcl's own encoding of UTF-8 differs where characters are beyond the first plane. */
    Tcl_Encoding utf8 = Tcl_GetEncoding(interp, "utf-8");
    Tcl_DString text;
    Tcl_ExternalToUtfDString(utf8, out, (int)out_len, &text);
    Tcl_DStringResult(interp, &text);
    Tcl_FreeEncoding(utf8);
    unsandbox_string_free(out);
    return TCL_OK;
}

static void forget(ClientData client) { unsandbox_client_free(client); }

static int set_up(unsandbox_config *config, int count, Tcl_Obj *const words[], unsandbox_error **err) {
    if (unsandbox_config_set_base_url(config, UNSANDBOX_TEXT(Tcl_GetString(words[2])), err)) return 1;
    return count > 3 && unsandbox_config_set_api_key(config, UNSANDBOX_TEXT(Tcl_GetString(words[3])), err);
}

/* unsandbox NAME ?URL? ?KEY?: makes the command NAME; without settings they come from the environment. */
static int make(ClientData unused, Tcl_Interp *interp, int count, Tcl_Obj *const words[]) {
    unsandbox_error *err = NULL;
    unsandbox_client *client = NULL;
    (void)unused;
    if (count < 2 || count > 4) {
        Tcl_WrongNumArgs(interp, 1, words, "name ?url? ?key?");
        return TCL_ERROR;
    }
    if (count == 2) {
        if (unsandbox_client_from_env(&client, &err) != UNSANDBOX_OK) return failure(interp, err);
    } else {
        unsandbox_config *config = NULL;
        if (unsandbox_config_new(&config, &err) != UNSANDBOX_OK) return failure(interp, err);
        if (!set_up(config, count, words, &err)) (void)!unsandbox_client_new(config, &client, &err);
        unsandbox_config_free(config);
        if (client == NULL) return failure(interp, err);
    }
    Tcl_CreateObjCommand(interp, Tcl_GetString(words[1]), call, client, forget);
    Tcl_SetObjResult(interp, words[1]);
    return TCL_OK;
}

int Unsandboxtcl_Init(Tcl_Interp *interp) {
    if (Tcl_InitStubs(interp, "8.6", 0) == NULL) return TCL_ERROR;
    Tcl_CreateObjCommand(interp, "unsandbox", make, NULL, NULL);
    return Tcl_PkgProvide(interp, "unsandbox", unsandbox_version());
}
