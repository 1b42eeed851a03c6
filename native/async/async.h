// The functions of the addon that run threads. Their arguments are documented where TypeScript declares them:
// lib/native/addon.ts.
#pragma once

#include <node_api.h>

namespace wengert {

napi_value CreateRunner(napi_env env, napi_callback_info info);
napi_value RunBlock(napi_env env, napi_callback_info info);
napi_value CancelRunner(napi_env env, napi_callback_info info);
napi_value RunnerProgress(napi_env env, napi_callback_info info);
napi_value CloseRunner(napi_env env, napi_callback_info info);
napi_value AbandonAll(napi_env env, napi_callback_info info);

napi_value WorldBegin(napi_env env, napi_callback_info info);
napi_value WorldWatch(napi_env env, napi_callback_info info);
napi_value WorldCollective(napi_env env, napi_callback_info info);
napi_value WorldAbort(napi_env env, napi_callback_info info);
napi_value WorldFinalize(napi_env env, napi_callback_info info);
napi_value WorldWaits(napi_env env, napi_callback_info info);

}  // namespace wengert
