import{h as e}from"/console/chunk-QNCEEGCY.js";function r(){return e`<div class="page"><header class="page-head"><h1>Operator</h1></header></div>`}export{r as default};
